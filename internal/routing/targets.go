package routing

import (
	"slices"

	"trellis/internal/lattice"
)

// TargetGroup returns a target group of any account by its id, and its targets by id and port, whether or not it is in use.
// The group is nil if there is none.
func (r *Router) TargetGroup(id string) (group *lattice.TargetGroup, targets []*lattice.Target, inUse bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, g := range r.model.groups {
		if at.id != id || g.record == nil {
			continue
		}
		if g.members != nil {
			targets = slices.SortedFunc(slices.Values(g.members.Members), (*lattice.Target).Compare)
		}
		return g.record, targets, g.inUse
	}
	return nil, nil, false
}
