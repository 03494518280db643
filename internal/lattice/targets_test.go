package lattice

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDecodedTargetsKnowTheirTargetGroup(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	want := &Targets{Scope: Scope{"123456789012", "us-west-2"}, TargetGroupID: "tg-0123", Registrations: 7}
	for i, target := range []Target{
		{ID: "10.0.0.1", Port: 80, RegisteredAt: at},
		{ID: "arn:aws:lambda:us-west-2:123456789012:function:f", RegisteredAt: at, DrainingUntil: at.Add(time.Minute)},
	} {
		target.Scope, target.TargetGroupID, target.Number = want.Scope, want.TargetGroupID, int64(i+1)
		want.Members = append(want.Members, &target)
	}
	value, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := &Targets{}
	if err := json.Unmarshal(value, got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
}

func TestATargetThatIsNullIsRefused(t *testing.T) {
	if err := json.Unmarshal([]byte(`{"members":[{"id":"10.0.0.1"},null]}`), &Targets{}); err == nil {
		t.Error("a record with a target that is null was read")
	}
}

func TestDrainingTargetsAreFoundByTheirRecord(t *testing.T) {
	draining := &Target{ID: "10.0.0.2", DrainingUntil: time.Unix(1700000000, 0)}
	for _, test := range []struct {
		members []*Target
		want    int
	}{
		{nil, 0},
		{[]*Target{{ID: "10.0.0.1"}}, 0},
		{[]*Target{{ID: "10.0.0.1"}, draining}, 1},
	} {
		if got := (&Targets{Members: test.members}).Indexes(); len(got) != test.want {
			t.Errorf("%d members: indexes %v", len(test.members), got)
		}
	}
}
