package lattice

import (
	"encoding/json"
	"testing"
	"time"

	"trellis/internal/shape"
)

// When these records get a new member, the code that reads them by hand must learn it, or starts become slow.
func TestStoredTargetGroupsAndTargetsAreReadByHand(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	base := Base{ID: "tg-0123", Name: "name", Scope: Scope{"123456789012", "us-west-2"}, CreatedAt: at, UpdatedAt: at}
	base.Tags = map[string]string{"key": "value"}
	base.Lifecycle = Lifecycle{Phase: PhaseCreate, Until: at}
	config, _ := NewTargetGroupConfig(shape.TargetGroupTypeIp, &shape.TargetGroupConfig{
		Port: new(int32(80)), Protocol: shape.TargetGroupProtocolHttp, VpcIdentifier: new("vpc-0123456789abcdef0"),
	})
	targets := &Targets{Scope: base.Scope, TargetGroupID: base.ID}
	targets.Register("10.0.0.1", 80, at)
	targets.Register("fd00::1", 0, at)
	targets.Members[0].DrainingUntil = at
	for _, rec := range []Record{&TargetGroup{Base: base, Type: shape.TargetGroupTypeIp, Config: config}, targets} {
		value, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		read, _ := NewRecord(rec.Key().Kind)
		if !read.(quickReader).readQuickly(&jsonReader{rest: value, key: rec.Key(), decoder: new(Decoder)}) {
			t.Errorf("%s was not read by hand", value)
		}
	}
}
