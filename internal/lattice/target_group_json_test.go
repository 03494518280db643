package lattice

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/shape"
)

// FuzzTargetGroupsAreReadAsPackageJSONReadsThem compares what is read by hand with what package json reads.
func FuzzTargetGroupsAreReadAsPackageJSONReadsThem(f *testing.F) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	base := Base{ID: "tg-0123", Name: "name", Scope: Scope{"123456789012", "us-west-2"}, CreatedAt: at, UpdatedAt: at.Add(time.Hour)}
	config, problems := NewTargetGroupConfig(shape.TargetGroupTypeIp, &shape.TargetGroupConfig{
		Port: new(int32(80)), Protocol: shape.TargetGroupProtocolHttp, VpcIdentifier: new("vpc-0123456789abcdef0"),
	})
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	creating, failed, tagged := base, base, base
	creating.Lifecycle = Lifecycle{Phase: PhaseCreate, Until: at}
	failed.Lifecycle = Lifecycle{Phase: PhaseUpdate, Until: at, FailureCode: "code", FailureMessage: "message"}
	tagged.Tags = map[string]string{"": "}", "key\\": "\"", "\"": "{"}
	escaped := base
	escaped.Name = "<é>"
	for _, group := range []TargetGroup{
		{},
		{Base: base, Type: shape.TargetGroupTypeLambda},
		{Base: base, Type: shape.TargetGroupTypeIp, Config: config},
		{Base: creating, Type: shape.TargetGroupTypeIp, Config: config},
		{Base: failed, Type: shape.TargetGroupTypeIp, Config: config},
		{Base: tagged, Type: shape.TargetGroupTypeIp, Config: config},
		{Base: escaped, Type: shape.TargetGroupTypeIp, Config: config},
		{Base: Base{ID: "tg-0123"}},
	} {
		value, err := json.Marshal(&group)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	head := `{"id":"1","scope":{"account":"2","region":"3"},"createdAt":"2026-01-02T03:04:05Z","lastUpdatedAt":"2026-01-02T03:04:05Z"`
	for _, tail := range []string{
		`}`, `,"type":"IP"`, `,"type":"IP"}}`, `,"type":"IP","config":null}`, `,"type":"IP","config":{"port":80}`, `,"type":"IP","config":{"port":"80"}}`,
		`,"type":"IP","config":{"vpcIdentifier":"\"}{"}}`, `,"type":"IP","config":{]}}`, `,"type":"IP","config":{"port":1},"config":{"port":2}}`,
		`,"lifecycle":{"phase":"CREATE"},"type":"IP"}`, `,"lifecycle":{},"type":"IP"}`, `,"tags":{},"type":"IP"}`, `,"tags":{"a":1},"type":"IP"}`,
		`,"type":"IP","more":1}`, `,"type":"IP","name":"late"}`, `,"TYPE":"IP"}`, `,"type":"IP","config":{"more":{"most":[1]},"PORT":80}}`,
		`,"type":"\"\\\/\b\f\n\r\t"}`, `,"type":"\u0049\u2028\ud83d\ude00"}`, `,"type":"\ud83d"}`, `,"type":"\x"}`, `,"type":"\u12"}`,
		",\"type\":\"\x7f\"}", ",\"type\":\"\xff\"}", ",\"type\":\"\n\"}", `,"type":"<&>"}`,
		`,"tags":{"\"\\\/\b\f\n\r\t\u007d\ud83d\ude00":"\ud83d}"},"type":"IP"}`,
	} {
		f.Add([]byte(head + tail))
	}
	f.Add([]byte(strings.Replace(head, `,"scope"`, `,"name":,"scope"`, 1) + `,"type":"IP"}`))
	f.Add([]byte(head + `,"tags":,"type":"IP"}`))
	f.Add([]byte(head + `,"lifecycle":{"phase":,"until":"2026-01-02T03:04:05Z"},"type":"IP"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		var want TargetGroup
		wantErr := json.Unmarshal(value, &want)
		d := NewDecoder()
		for range 2 { // The second time the configuration is shared.
			var got TargetGroup
			if got.readQuickly(&jsonReader{rest: value, key: want.Key(), decoder: d}) {
				wantSame(t, value, &want, &got, wantErr)
			}
		}
	})
}

// wantSame compares what was read by hand with what package json has read.
func wantSame[R any](t *testing.T, value []byte, want, got R, wantErr error) {
	t.Helper()
	if wantErr != nil {
		t.Fatalf("%s was read by hand, package json says %v", value, wantErr)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: (-json +by hand)\n%s", value, diff)
	}
}

func TestTargetGroupsShareTheirConfiguration(t *testing.T) {
	d := NewDecoder()
	read := func(config string) *shape.TargetGroupConfig {
		value := `{"id":"1","scope":{"account":"2","region":"3"},"createdAt":"2026-01-02T03:04:05Z","lastUpdatedAt":"2026-01-02T03:04:05Z","type":"IP","config":` + config + `}`
		rec, err := d.Decode(TargetGroupKey(Scope{"2", "3"}, "1"), []byte(value))
		if err != nil {
			t.Fatal(err)
		}
		return rec.(*TargetGroup).Config
	}
	if first := read(`{"port":80}`); read(`{"port":81}`) == first || read(`{"port":80}`) != first {
		t.Error("equal configurations are not one, or different ones are")
	}
}
