package lattice

import (
	"encoding/json"
	"testing"
	"time"
)

// FuzzTargetsAreReadAsPackageJSONReadsThem compares what is read by hand with what package json reads.
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
		`{"number":1,"id":"\"\\\/\b\f\n\r\t\u0035\ud83d\ude00","registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"\ud83d","registeredAt":"2026-01-02T03:04:0\u0035Z"}]}`,
		`{"number":1,"id":"\x","registeredAt":"2026-01-02T03:04:05Z"}]}`,
		"{\"number\":1,\"id\":\"\xff\x7f\",\"registeredAt\":\"2026-01-02T03:04:05Z\"}]}",
		`{"number":1,"id":"5","port":,"registeredAt":"2026-01-02T03:04:05Z"}]}`,
		`{"number":1,"id":"5","registeredAt":"2026-01-02T03:04:05Z","drainingUntil":}]}`,
		`{"number":1,"ID":"5","id":"6","registeredAt":"2026-01-02T03:04:05Z"}]}`,
	} {
		f.Add([]byte(head + tail))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var want, got Targets
		wantErr := json.Unmarshal(value, &want)
		if got.readQuickly(&jsonReader{rest: value, key: want.Key(), decoder: NewDecoder()}) {
			wantSame(t, value, &want, &got, wantErr)
		}
	})
}
