package routing

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

var scope = lattice.Scope{Account: "111122223333", Region: "us-west-2"}

// world is a router and the records that it has been told of, as the catalog would tell it.
type world struct {
	*Router
	records map[lattice.Key]lattice.Record
	health  *board
	// connectors are those that are open, by target.
	connectors map[lattice.Key]*connector
	born       int
}

// board is a Health: those that are not available.
type board struct{ down map[lattice.Key]bool }

func (b *board) Available(target lattice.Key) bool { return !b.down[target] }

type connector struct {
	world  *world
	target *Target
	closed int
}

func (c *connector) Close() {
	c.closed++
	delete(c.world.connectors, c.target.Key)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		records:    map[lattice.Key]lattice.Record{},
		health:     &board{down: map[lattice.Key]bool{}},
		connectors: map[lattice.Key]*connector{},
	}
	w.Router = NewRouter(Config{Log: slog.New(slog.DiscardHandler), Health: w.health, Connect: func(t *Target) Connector {
		c := &connector{world: w, target: t}
		w.connectors[t.Key] = c
		return c
	}})
	return w
}

// put creates or replaces records in one revision.
func (w *world) put(records ...lattice.Record) []Use {
	changes := make([]lattice.Change, len(records))
	for i, record := range records {
		changes[i] = lattice.Change{Old: w.records[record.Key()], New: record}
		w.records[record.Key()] = record
	}
	return w.Apply(changes)
}

// delete deletes records in one revision.
func (w *world) delete(records ...lattice.Record) []Use {
	changes := make([]lattice.Change, len(records))
	for i, record := range records {
		changes[i] = lattice.Change{Old: w.records[record.Key()]}
		delete(w.records, record.Key())
	}
	return w.Apply(changes)
}

// base returns the common part of a record that is created after all others so far.
func (w *world) base(id string) lattice.Base {
	w.born++
	return lattice.Base{ID: id, Name: "the-" + id, Scope: scope, CreatedAt: time.Unix(1700000000, 0).Add(time.Duration(w.born) * time.Second)}
}

func (w *world) service(id string) *lattice.Service {
	return &lattice.Service{Base: w.base(id), DomainName: id + ".lattice.test", IdleTimeoutSeconds: 60}
}

func (w *world) network(id string) *lattice.ServiceNetwork {
	return &lattice.ServiceNetwork{Base: w.base(id)}
}

func (w *world) association(serviceID, networkID string) *lattice.ServiceNetworkServiceAssociation {
	return &lattice.ServiceNetworkServiceAssociation{
		Base: w.base("snsa-" + serviceID + networkID), ServiceID: serviceID, ServiceNetworkID: networkID}
}

func (w *world) vpcAssociation(networkID, vpcID string) *lattice.ServiceNetworkVpcAssociation {
	return &lattice.ServiceNetworkVpcAssociation{Base: w.base("snva-" + vpcID), ServiceNetworkID: networkID, VpcID: vpcID}
}

func (w *world) listener(serviceID, id string, protocol shape.ListenerProtocol, port int32) *lattice.Listener {
	return &lattice.Listener{Base: w.base(id), ServiceID: serviceID, Protocol: protocol, Port: port, DefaultRuleID: "rule-default"}
}

func (w *world) rule(serviceID, listenerID, id string, priority int32, match *shape.HttpMatch, action *shape.RuleAction) *lattice.Rule {
	rule := &lattice.Rule{Base: w.base(id), ServiceID: serviceID, ListenerID: listenerID, Priority: priority, Action: action}
	if match != nil {
		rule.Match = &shape.RuleMatch{HttpMatch: match}
	}
	rule.IsDefault = priority == lattice.DefaultRulePriority
	rule.TargetGroupIDs = targetGroupIDs(action)
	return rule
}

func (w *world) defaultRule(serviceID, listenerID string, action *shape.RuleAction) *lattice.Rule {
	return w.rule(serviceID, listenerID, "rule-default", lattice.DefaultRulePriority, nil, action)
}

func (w *world) targetGroup(id string) *lattice.TargetGroup {
	return &lattice.TargetGroup{Base: w.base(id), Type: shape.TargetGroupTypeIp, Config: &shape.TargetGroupConfig{
		Port: new(int32(80)), Protocol: shape.TargetGroupProtocolHttp, ProtocolVersion: shape.TargetGroupProtocolVersionHttp1}}
}

func target(targetGroupID string, number int) *lattice.Target {
	return &lattice.Target{Scope: scope, TargetGroupID: targetGroupID, ID: fmt.Sprintf("10.0.%d.%d", number/250, number%250), Port: 80}
}

func draining(t *lattice.Target) *lattice.Target {
	copied := *t
	copied.DrainingUntil = time.Unix(1700001000, 0)
	return &copied
}

// plus returns the record of a target group's targets with some more, or with others of the same id and port in their place.
func (w *world) plus(targets ...*lattice.Target) *lattice.Targets {
	record := w.minus(targets...)
	record.Members = append(record.Members, targets...)
	return record
}

// minus returns the record of a target group's targets without some.
func (w *world) minus(targets ...*lattice.Target) *lattice.Targets {
	record := &lattice.Targets{Scope: targets[0].Scope, TargetGroupID: targets[0].TargetGroupID}
	if stored, ok := w.records[record.Key()].(*lattice.Targets); ok {
		record.Members = slices.DeleteFunc(slices.Clone(stored.Members), func(member *lattice.Target) bool {
			return slices.ContainsFunc(targets, func(t *lattice.Target) bool { return t.Key() == member.Key() })
		})
	}
	return record
}

// storefront puts a service with one listener on port 80, whose default rule forwards to the target groups, each of
// which has three targets.
func (w *world) storefront(targetGroups ...string) {
	w.put(w.network("sn-1"), w.service("svc-1"), w.association("svc-1", "sn-1"),
		w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80),
		w.defaultRule("svc-1", "listener-1", forwardTo(targetGroups...)))
	for _, id := range targetGroups {
		w.put(w.targetGroup(id), w.plus(target(id, 1), target(id, 2), target(id, 3)))
	}
}

// lookup returns the service that answers to a host on a port.
func (w *world) lookup(port int, host string) *Service {
	for _, p := range w.Ports() {
		if p.Number == port {
			return p.Lookup([]byte(host))
		}
	}
	return nil
}

// choose returns the target group of a request to the storefront, by its id.
func (w *world) choose() string {
	return w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup.ID
}

// next returns the target of a request to the storefront, by its id.
func (w *world) next() string {
	if t := w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose().TargetGroup.Next(); t != nil {
		return t.ID
	}
	return "nobody"
}

// nexts returns who gets the next requests to the storefront, each once, in order of address.
func (w *world) nexts() string {
	seen := map[string]bool{}
	for range 24 {
		seen[w.next()] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), " ")
}

func forwardTo(targetGroups ...string) *shape.RuleAction {
	forward := &shape.ForwardAction{}
	for _, id := range targetGroups {
		forward.TargetGroups = append(forward.TargetGroups, shape.WeightedTargetGroup{TargetGroupIdentifier: new(id)})
	}
	return &shape.RuleAction{Forward: forward}
}

// weighted sets the weights of an action.
func weighted(action *shape.RuleAction, weights ...int32) *shape.RuleAction {
	for i, weight := range weights {
		action.Forward.TargetGroups[i].Weight = new(weight)
	}
	return action
}

func fixed(status int32) *shape.RuleAction {
	return &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(status)}}
}

func targetGroupIDs(action *shape.RuleAction) []string {
	if action == nil || action.Forward == nil {
		return nil
	}
	var ids []string
	for _, g := range action.Forward.TargetGroups {
		ids = append(ids, *g.TargetGroupIdentifier)
	}
	return ids
}

// lines are header lines, as name and value.
type lines [][2]string

func (l lines) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(l); i++ {
		if strings.EqualFold(l[i][0], name) {
			return []byte(l[i][1]), i + 1
		}
	}
	return nil, -1
}

func get(path string, headers ...[2]string) *Request {
	return &Request{Method: []byte("GET"), Path: []byte(path), Headers: lines(headers)}
}

func pathPrefix(prefix string) *shape.HttpMatch {
	return &shape.HttpMatch{PathMatch: &shape.PathMatch{Match: &shape.PathMatchType{Prefix: new(prefix)}}}
}

func pathExact(path string) *shape.HttpMatch {
	return &shape.HttpMatch{PathMatch: &shape.PathMatch{Match: &shape.PathMatchType{Exact: new(path)}}}
}

func header(name string, value shape.HeaderMatchType) shape.HeaderMatch {
	return shape.HeaderMatch{Name: new(name), Match: new(value)}
}

// useOf returns the reported use of a target group, as "in use, 3 targets".
func useOf(uses []Use, targetGroupID string) string {
	said := "nothing"
	for _, use := range uses {
		if use.Key.Path != targetGroupID {
			continue
		}
		if said != "nothing" {
			return "more than once"
		}
		switch {
		case use.Group == nil:
			said = "gone"
		case use.InUse:
			said = fmt.Sprintf("in use, %d targets", len(use.Targets))
		default:
			said = "unused"
		}
	}
	return said
}
