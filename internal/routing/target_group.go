package routing

import (
	"sync/atomic"

	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

// TargetGroup is a target group to which rules forward. It outlives recompilations; its fields never change.
type TargetGroup struct {
	Key             lattice.Key
	ARN             string
	ID              string
	Name            string
	Type            shape.TargetGroupType
	Protocol        shape.TargetGroupProtocol
	ProtocolVersion shape.TargetGroupProtocolVersion
	// EventVersion is the form of the events that the function of a LAMBDA target group gets.
	EventVersion shape.LambdaEventStructureVersion
	VpcID        string // empty when there is none

	// Exchanges counts the exchanges that rules have forwarded to the target group, and Connections the connections to its
	// targets.
	Exchanges   tally.Exchanges
	Connections tally.Connections

	picker atomic.Pointer[picker]
	turn   atomic.Uint64
}

func newTargetGroup(record *lattice.TargetGroup) *TargetGroup {
	g := &TargetGroup{Key: record.Key(), ARN: record.ARN(), ID: record.ID, Name: record.Name, Type: record.Type}
	if record.Config != nil {
		g.Protocol, g.ProtocolVersion = record.Config.Protocol, record.Config.ProtocolVersion
		g.EventVersion = record.Config.LambdaEventStructureVersion
		if record.Config.VpcIdentifier != nil {
			g.VpcID = *record.Config.VpcIdentifier
		}
	}
	return g
}

// is reports whether the target group is as its record says. The API changes none of these fields, but a record can be
// removed or edited.
func (g *TargetGroup) is(record *lattice.TargetGroup) bool {
	if record == nil || record.Name != g.Name || record.Type != g.Type {
		return false
	}
	if record.Config == nil {
		return g.Protocol == "" && g.ProtocolVersion == "" && g.EventVersion == ""
	}
	return record.Config.Protocol == g.Protocol && record.Config.ProtocolVersion == g.ProtocolVersion &&
		record.Config.LambdaEventStructureVersion == g.EventVersion
}

// Target is a target that requests can be sent to. It outlives recompilations; its fields never change.
type Target struct {
	Key   lattice.Key
	Group *TargetGroup
	ID    string
	Place Place
	// TLS says that the target group's protocol is HTTPS.
	TLS bool
	// Connector is what Config.Connect made for the target.
	Connector Connector
}

// picker is an immutable snapshot of the targets that get requests.
type picker struct{ targets []*Target }

// Next returns the target whose turn it is among those that are available. When none is, all that are not draining
// take turns (UG target-groups: fail open). It is nil when there is none; draining ones never serve instead.
func (g *TargetGroup) Next() *Target {
	p := g.picker.Load()
	if p == nil {
		return nil
	}
	switch n := uint64(len(p.targets)); n {
	case 0:
		return nil
	case 1:
		return p.targets[0]
	default:
		return p.targets[(g.turn.Add(1)-1)%n]
	}
}

// NextOther returns another target than the one that Next has returned, or nil if there is none.
func (g *TargetGroup) NextOther(than *Target) *Target {
	p := g.picker.Load()
	if p == nil || len(p.targets) == 0 {
		return nil
	}
	n := uint64(len(p.targets))
	turn := g.turn.Add(1) - 1
	for i := range n {
		if t := p.targets[(turn+i)%n]; t != than {
			return t
		}
	}
	return nil
}
