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
	for _, target := range []Target{
		{Scope: scope, TargetGroupID: "tg-0123", ID: "10.0.0.1", Port: 80, RegisteredAt: at},
		{Scope: scope, TargetGroupID: "tg-0123", ID: "fd00::1", Port: 65535, RegisteredAt: at, DrainingUntil: at.Add(time.Minute)},
		{Scope: scope, TargetGroupID: "tg-0123", ID: "arn:aws:lambda:us-west-2:123456789012:function:f", RegisteredAt: at},
		{Scope: scope, TargetGroupID: "<&>", ID: "\"\\é\n", RegisteredAt: at},
	} {
		value, err := json.Marshal(&target)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	head := `{"scope":{"account":"1","region":"2"},"targetGroupId":"3","id":"4"`
	for _, tail := range []string{
		`}`, `,"port":01,"registeredAt":"2026-01-02T03:04:05Z"}`, `,"port":+1,"registeredAt":"2026-01-02T03:04:05Z"}`,
		`,"port":,"registeredAt":"2026-01-02T03:04:05Z"}`, `,"port":-1,"registeredAt":"2026-01-02T03:04:05Z"}`,
		`,"port":-01,"registeredAt":"2026-01-02T03:04:05Z"}`, `,"registeredAt":"2026-01-02T03:04:05+01:00"}`,
		`,"registeredAt":"yesterday"}`, `,"registeredAt":"2026-01-02T03:04:05Z","more":1}`, ` ,"registeredAt":"2026-01-02T03:04:05Z"}`,
	} {
		f.Add([]byte(head + tail))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		type plain Target
		var want plain
		wantErr := json.Unmarshal(value, &want)
		var got Target
		if err := json.Unmarshal(value, &got); (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: package json says %v, the reader by hand %v", value, wantErr, err)
		}
		if diff := cmp.Diff(Target(want), got); wantErr == nil && diff != "" {
			t.Errorf("%s: (-json +by hand)\n%s", value, diff)
		}
		// The catalog calls the method without package json's check before it.
		var direct Target
		if err := direct.UnmarshalJSON(value); (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: package json says %v, the method %v", value, wantErr, err)
		}
	})
}
