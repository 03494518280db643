package lattice

import (
	"net/url"
	"strconv"
	"time"

	"trellis/internal/shape"
)

// TargetGroup is a collection of targets. Config is what GetTargetGroup echoes: the client's with all defaults
// filled in. It is nil for a LAMBDA target group that was created without one.
type TargetGroup struct {
	Base
	Type   shape.TargetGroupType    `json:"type"`
	Config *shape.TargetGroupConfig `json:"config,omitempty"`
}

// TargetGroupKey returns the key of a target group.
func TargetGroupKey(scope Scope, id string) Key { return Key{KindTargetGroup, scope, id} }

func (g *TargetGroup) Key() Key        { return TargetGroupKey(g.Scope, g.ID) }
func (g *TargetGroup) ARN() string     { return arn(g.Scope, "targetgroup/"+g.ID) }
func (g *TargetGroup) Clone() Resource { c := *g; return &c }
func (g *TargetGroup) Indexes() []Index {
	indexes := []Index{
		All(KindTargetGroup, g.Scope),
		By(KindTargetGroup, g.Scope, "type", string(g.Type)),
	}
	if g.Config != nil && g.Config.VpcIdentifier != nil {
		indexes = append(indexes, By(KindTargetGroup, g.Scope, "vpc", *g.Config.VpcIdentifier))
	}
	return g.indexes(indexes...)
}
func (g *TargetGroup) Claims() []Claim { return []Claim{g.nameClaim(KindTargetGroup, "")} }

// Target is a member of a target group. A target is identified by its id and port together.
type Target struct {
	Scope         Scope  `json:"scope"`
	TargetGroupID string `json:"targetGroupId"`
	// ID is an address, an instance id or an ARN, according to the type of the target group.
	ID string `json:"id"`
	// Port is 0 for a Lambda function.
	Port         int32     `json:"port,omitempty"`
	RegisteredAt time.Time `json:"registeredAt"`
	// DrainingUntil is set once the target is deregistered: it gets no new requests, and the record goes at that time.
	DrainingUntil time.Time `json:"drainingUntil,omitzero"`
}

// TargetKey returns the key of a target. The id is escaped, since an ARN contains slashes.
func TargetKey(scope Scope, targetGroupID, id string, port int32) Key {
	return Key{KindTarget, scope, targetGroupID + "/" + url.PathEscape(id) + ":" + strconv.Itoa(int(port))}
}

func (t *Target) Key() Key { return TargetKey(t.Scope, t.TargetGroupID, t.ID, t.Port) }
func (t *Target) Indexes() []Index {
	indexes := []Index{By(KindTarget, t.Scope, "targetgroup", t.TargetGroupID)}
	if t.Draining() {
		indexes = append(indexes, DrainingTargets)
	}
	return indexes
}

// Claims holds nothing: the key itself is what a target's id and port claim.
func (t *Target) Claims() []Claim { return nil }

// Draining says whether the target has been deregistered.
func (t *Target) Draining() bool { return !t.DrainingUntil.IsZero() }

// DrainingTargets is the index of all targets, of whatever scope, that are draining.
var DrainingTargets = Index{Kind: KindTarget, By: "draining"}
