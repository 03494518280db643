package lattice

import (
	"bytes"
	"encoding/json"
	"errors"
)

// UnmarshalJSON reads the record, and tells its targets which group they belong to.
func (t *Targets) UnmarshalJSON(value []byte) error {
	type plain Targets // the same type without this method
	if err := json.Unmarshal(value, (*plain)(t)); err != nil {
		return err
	}
	for _, member := range t.Members {
		if member == nil {
			return errors.New("a target is null")
		}
		member.Scope, member.TargetGroupID = t.Scope, t.TargetGroupID
	}
	return nil
}

// readQuickly reads what package json writes for targets whose strings need no escapes.
func (t *Targets) readQuickly(r *jsonReader) bool {
	if !r.scope(`{"scope":`, &t.Scope) || !r.text(`,"targetGroupId":`, &t.TargetGroupID) ||
		!r.number(`,"registrations":`, &t.Registrations) || !r.skip(`,"members":[`) {
		return false
	}
	members := make([]Target, bytes.Count(r.rest, []byte(`{"number":`)))
	t.Members = make([]*Target, len(members))
	for i := range members {
		member := &members[i]
		if i > 0 && !r.skip(",") || !r.target(member) {
			return false
		}
		member.Scope, member.TargetGroupID = t.Scope, t.TargetGroupID
		t.Members[i] = member
	}
	return r.ends("]}")
}

func (r *jsonReader) target(t *Target) bool {
	if !r.number(`{"number":`, &t.Number) || !r.text(`,"id":`, &t.ID) {
		return false
	}
	if port := int64(0); r.number(`,"port":`, &port) {
		if t.Port = int32(port); int64(t.Port) != port {
			return false
		}
	}
	if !r.time(`,"registeredAt":`, &t.RegisteredAt) {
		return false
	}
	return r.skip("}") || r.time(`,"drainingUntil":`, &t.DrainingUntil) && r.skip("}")
}
