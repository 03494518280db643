package lattice

import "trellis/internal/shape"

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
	indexes := append(make([]Index, 0, 5), // all that can follow, since a start asks for many
		All(KindTargetGroup, g.Scope),
		By(KindTargetGroup, g.Scope, "type", string(g.Type)))
	if g.Config != nil && g.Config.VpcIdentifier != nil {
		indexes = append(indexes, By(KindTargetGroup, g.Scope, "vpc", *g.Config.VpcIdentifier))
	}
	return g.indexes(indexes...)
}
func (g *TargetGroup) Claims() []Claim { return []Claim{g.NameClaim()} }

// NameClaim is the claim of the target group's name, unique within the account and Region.
func (g *TargetGroup) NameClaim() Claim { return g.nameClaim(KindTargetGroup, "") }

// readQuickly reads what package json writes for a target group whose strings need no escapes.
func (g *TargetGroup) readQuickly(r *jsonReader) bool {
	if !r.base(&g.Base) || !r.text(`,"type":`, (*string)(&g.Type)) {
		return false
	}
	if config, ok := r.object(`,"config":`); ok {
		if g.Config, ok = r.decoder.config(config); !ok {
			return false
		}
	}
	return r.ends("}")
}
