package lattice

import (
	"slices"
	"strconv"

	"trellis/internal/shape"
)

// The priority and the name of a listener's default rule.
const (
	DefaultRulePriority = 99999
	DefaultRuleName     = "default"
)

// Listener is a port of a service. Its default action is the action of its default rule, which is a record of
// its own: all references from actions to target groups are held by rules.
type Listener struct {
	Base
	ServiceID     string                 `json:"serviceId"`
	Protocol      shape.ListenerProtocol `json:"protocol"`
	Port          int32                  `json:"port"`
	DefaultRuleID string                 `json:"defaultRuleId"`
}

// ListenerKey returns the key of a listener.
func ListenerKey(scope Scope, serviceID, id string) Key {
	return Key{KindListener, scope, serviceID + "/" + id}
}

func (l *Listener) Key() Key        { return ListenerKey(l.Scope, l.ServiceID, l.ID) }
func (l *Listener) ARN() string     { return arn(l.Scope, "service/"+l.ServiceID+"/listener/"+l.ID) }
func (l *Listener) Clone() Resource { c := *l; return &c }
func (l *Listener) Indexes() []Index {
	return l.indexes(By(KindListener, l.Scope, "service", l.ServiceID))
}
func (l *Listener) Claims() []Claim {
	return []Claim{
		l.nameClaim(KindListener, l.ServiceID+"/"),
		{KindListener, l.Scope, "port", l.ServiceID + "/" + strconv.Itoa(int(l.Port))},
	}
}

// Rule is a rule of a listener. The default rule has no match and the priority DefaultRulePriority.
type Rule struct {
	Base
	ServiceID  string            `json:"serviceId"`
	ListenerID string            `json:"listenerId"`
	IsDefault  bool              `json:"isDefault,omitempty"`
	Priority   int32             `json:"priority"`
	Match      *shape.RuleMatch  `json:"match,omitempty"`
	Action     *shape.RuleAction `json:"action"`
	// TargetGroupIDs are the ids of the target groups that the action names, by id or ARN, in the action's order.
	TargetGroupIDs []string `json:"targetGroupIds,omitempty"`
}

// RuleKey returns the key of a rule.
func RuleKey(scope Scope, serviceID, listenerID, id string) Key {
	return Key{KindRule, scope, serviceID + "/" + listenerID + "/" + id}
}

func (r *Rule) Key() Key { return RuleKey(r.Scope, r.ServiceID, r.ListenerID, r.ID) }
func (r *Rule) ARN() string {
	return arn(r.Scope, "service/"+r.ServiceID+"/listener/"+r.ListenerID+"/rule/"+r.ID)
}
func (r *Rule) Clone() Resource { c := *r; return &c }
func (r *Rule) Indexes() []Index {
	indexes := []Index{
		By(KindRule, r.Scope, "listener", r.ListenerID),
		By(KindRule, r.Scope, "service", r.ServiceID),
	}
	for i, id := range r.TargetGroupIDs {
		if !slices.Contains(r.TargetGroupIDs[:i], id) {
			indexes = append(indexes, By(KindRule, r.Scope, "targetgroup", id))
		}
	}
	return r.indexes(indexes...)
}
func (r *Rule) Claims() []Claim {
	return []Claim{
		r.nameClaim(KindRule, r.ListenerID+"/"),
		{KindRule, r.Scope, "priority", r.ListenerID + "/" + strconv.Itoa(int(r.Priority))},
	}
}
