package lattice

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzTargetsAreReadAsPackageJSONReadsThem compares the reader by hand with package json's.
func FuzzTargetsAreReadAsPackageJSONReadsThem(f *testing.F) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	scope := Scope{"123456789012", "us-west-2"}
	for _, targets := range []Targets{
		{},
		{Scope: scope, TargetGroupID: "tg-0123", Members: []*Target{}},
		{Scope: scope, TargetGroupID: "tg-0123", Registrations: 7, Members: []*Target{
			{Number: 1, ID: "10.0.0.1", Port: 80, RegisteredAt: at},
			{Number: 5, ID: "fd00::1", Port: 65535, RegisteredAt: at, DrainingUntil: at.Add(time.Minute)},
			{Number: 7, ID: "arn:aws:lambda:us-west-2:123456789012:function:f", RegisteredAt: at},
		}},
		{Scope: scope, TargetGroupID: "<&>", Registrations: 1, Members: []*Target{{Number: 1, ID: "\"\\é\n", RegisteredAt: at}}},
		{Scope: scope, TargetGroupID: `{"number":`, Registrations: -1, Members: []*Target{nil, {ID: `{"number":`, Port: -1, RegisteredAt: at}}},
	} {
		value, err := json.Marshal(&targets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	head := `{"scope":{"account":"1","region":"2"},"targetGroupId":"3","registrations":4,"members":[`
	target := `{"number":1,"id":"5","registeredAt":"2026-01-02T03:04:05Z"`
	for _, tail := range []string{
		`]}`, `]`, `null]}`, target + `}]}`, target + `},]}`, target + `}` + target + `}]}`, target + `},` + target + `}]}`,
		target + `,"port":01}]}`, target + `,"more":1}]}`, target + `,"drainingUntil":"yesterday"}]}`,
		`{"number":01,"id":"5","registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"5","port":01,"registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"5","port":+1,"registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"5","port":,"registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"5","port":4294967296,"registeredAt":"2026-01-02T03:04:05+01:00"}]}`,
		`{"number":99999999999999999999,"id":"5","registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"{\"number\":","registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"5","registeredAt":"2026-01-02T03:04:05Z"}]}x`,
	} {
		f.Add([]byte(head + tail))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		type plain Targets
		var want plain
		wantErr := json.Unmarshal(value, &want)
		for _, member := range want.Members {
			if member == nil {
				return // refused, which TestATargetThatIsNullIsRefused shows
			}
			member.Scope, member.TargetGroupID = want.Scope, want.TargetGroupID
		}
		// The catalog calls the method without package json's check before it.
		var got Targets
		if err := got.UnmarshalJSON(value); (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: package json says %v, the reader by hand %v", value, wantErr, err)
		}
		if diff := cmp.Diff(Targets(want), got); wantErr == nil && diff != "" {
			t.Errorf("%s: (-json +by hand)\n%s", value, diff)
		}
	})
}
