package routing

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/tally"
)

// model holds what the router knows about the records: a graph of nodes. A node exists as long as its record does, or as long
// as another node refers to it. So changes may come in any order within a batch, and no unused node stays behind. Records that
// carry no traffic (see live) are not in it.
//
// A change puts the nodes that it affects on the lists of dirty nodes, which the router settles and then empties.
type model struct {
	services map[ref]*serviceNode
	networks map[ref]*networkNode
	groups   map[ref]*groupNode
	vpcs     map[string]*vpcNode
	names    names
	// resources holds the ways to resources, and the records from which they are compiled.
	resources *resources

	dirtyServices  []*serviceNode
	dirtyListeners []*listenerNode
	dirtyNetworks  []*networkNode
	dirtyGroups    []*groupNode
	// gone are the targets, and their target groups, whose records were deleted or changed their type.
	goneTargets []*Target
	goneGroups  []*TargetGroup
}

// ref is the id of a service, service network or target group within its scope.
type ref struct {
	scope lattice.Scope
	id    string
}

type serviceNode struct {
	ref          ref
	record       *lattice.Service
	policy       authPolicy
	guard        policy.Guard
	exchanges    *tally.Exchanges
	logs         []*lattice.AccessLogSubscription // in order of creation
	listeners    []*listenerNode
	associations []*lattice.ServiceNetworkServiceAssociation // in order of creation
	networks     []*networkNode                              // the networks through which the service is reached, in order of association
	dirty        bool
}

type listenerNode struct {
	service  *serviceNode
	id       string
	record   *lattice.Listener
	rules    []*ruleNode
	compiled *Service // compiled for the first network; nil if the listener cannot be reached
	claims   []claim
	dirty    bool
}

type ruleNode struct {
	record   *lattice.Rule
	schedule *schedule // kept while the weights stay the same, so that a recompilation takes nobody's turn

	exchanges *tally.Exchanges
}

type networkNode struct {
	ref      ref
	record   *lattice.ServiceNetwork
	policy   authPolicy
	logs     []*lattice.AccessLogSubscription // subscriptions to the traffic of services, in order of creation
	services map[*serviceNode]bool
	vpcs     []*lattice.ServiceNetworkVpcAssociation // in order of creation
	// enteredFrom are the VPCs that have an entrance to the network.
	enteredFrom []string
	compiled    *Network
	dirty       bool
	// moved says that the network was created or deleted, which affects all its services.
	moved bool
}

type groupNode struct {
	ref     ref
	record  *lattice.TargetGroup
	members *lattice.Targets // nil if there are none
	// targets are the targets of arranged, by id and port. arranged is members, once the target group has been in use.
	targets  []targetNode
	arranged *lattice.Targets
	users    []groupUser
	compiled *TargetGroup // nil until the target group is first in use
	inUse    bool
	dirty    bool
	// changed says that the configuration or the targets changed, which health must know.
	changed bool
}

// groupUser is a listener and how often its rules refer to a target group.
type groupUser struct {
	listener *listenerNode
	times    int
}

type targetNode struct {
	record *lattice.Target
	target *Target // nil until the target group is in use, and while the target cannot be resolved
	// problem says why the target cannot be resolved.
	problem string
}

func newModel() model {
	return model{
		services: map[ref]*serviceNode{},
		networks: map[ref]*networkNode{},
		groups:   map[ref]*groupNode{},
		vpcs:     map[string]*vpcNode{},
		names:    newNames(),

		resources: newResources(),
	}
}

// take applies one change, and marks what it affects.
func (m *model) take(change lattice.Change) {
	// The nodes that an association joins list it, so its old version is removed before the new one is added. For other
	// records, the new version replaces the old.
	switch old := change.Old.(type) {
	case *lattice.ServiceNetworkServiceAssociation:
		m.removeServiceAssociation(old)
	case *lattice.ServiceNetworkVpcAssociation:
		m.removeVpcAssociation(old)
	case *lattice.AccessLogSubscription:
		m.removeAccessLog(old)
	}
	m.names.takeVerification(change)
	m.resources.take(change)
	record, present := change.New, live(change.New)
	if record == nil {
		record = change.Old
	}
	switch record := record.(type) {
	case *lattice.Service:
		m.takeService(record, present)
	case *lattice.ServiceNetwork:
		m.takeNetwork(record, present)
	case *lattice.AuthPolicy:
		m.takeAuthPolicy(record, present)
	case *lattice.AccessLogSubscription:
		if present {
			m.addAccessLog(record)
		}
	case *lattice.ServiceNetworkServiceAssociation:
		if present {
			m.addServiceAssociation(record)
		}
	case *lattice.ServiceNetworkVpcAssociation:
		if present {
			m.addVpcAssociation(record)
		}
	case *lattice.Listener:
		m.takeListener(record, present)
	case *lattice.Rule:
		m.takeRule(record, present)
	case *lattice.TargetGroup:
		m.takeTargetGroup(record, present)
	case *lattice.Targets:
		m.takeTargets(record, present)
	}
}

// live reports whether a record carries traffic. A record that is being created or updated does; one that is being deleted, or
// whose creation fails, does not.
func live(record lattice.Record) bool {
	if record == nil {
		return false
	}
	resource, ok := record.(lattice.Resource)
	if !ok {
		return true
	}
	lifecycle := resource.Meta().Lifecycle
	return !lifecycle.Deleting() && !(lifecycle.Phase == lattice.PhaseCreate && lifecycle.FailureCode != "")
}

func (m *model) takeService(record *lattice.Service, present bool) {
	s := m.service(ref{record.Scope, record.ID}, present)
	if s == nil {
		return
	}
	if !present {
		record = nil
	}
	m.names.rename(s, record)
	s.record = record
}

func (m *model) takeNetwork(record *lattice.ServiceNetwork, present bool) {
	n := m.network(ref{record.Scope, record.ID}, present)
	if n == nil {
		return
	}
	n.moved = n.moved || present != (n.record != nil)
	n.record = nil
	if present {
		n.record = record
	}
}

// takeAuthPolicy applies the policy of a service or service network; the id says which of the two it is.
func (m *model) takeAuthPolicy(record *lattice.AuthPolicy, present bool) {
	at := ref{record.Scope, record.ResourceID}
	var attached authPolicy
	if present {
		attached.record = record
	}
	switch kind, _ := lattice.KindOfID(record.ResourceID); kind {
	case lattice.KindService:
		if s := m.service(at, present); s != nil {
			s.policy = attached
		}
	case lattice.KindServiceNetwork:
		if n := m.network(at, present); n != nil {
			n.policy = attached
		}
	}
}

func (m *model) addServiceAssociation(record *lattice.ServiceNetworkServiceAssociation) {
	s := m.service(ref{record.Scope, record.ServiceID}, true)
	s.associations = insert(remove(s.associations, record.ID), record)
	m.network(ref{record.Scope, record.ServiceNetworkID}, true).services[s] = true
}

func (m *model) removeServiceAssociation(record *lattice.ServiceNetworkServiceAssociation) {
	s := m.service(ref{record.Scope, record.ServiceID}, false)
	if s == nil {
		return
	}
	s.associations = remove(s.associations, record.ID)
	network := m.network(ref{record.Scope, record.ServiceNetworkID}, false)
	joined := func(a *lattice.ServiceNetworkServiceAssociation) bool {
		return a.ServiceNetworkID == record.ServiceNetworkID
	}
	if network != nil && !slices.ContainsFunc(s.associations, joined) {
		delete(network.services, s)
	}
}

func (m *model) addVpcAssociation(record *lattice.ServiceNetworkVpcAssociation) {
	n := m.network(ref{record.Scope, record.ServiceNetworkID}, true)
	n.vpcs = insert(remove(n.vpcs, record.ID), record)
}

func (m *model) removeVpcAssociation(record *lattice.ServiceNetworkVpcAssociation) {
	if n := m.network(ref{record.Scope, record.ServiceNetworkID}, false); n != nil {
		n.vpcs = remove(n.vpcs, record.ID)
	}
}

func (m *model) takeListener(record *lattice.Listener, present bool) {
	l := m.listener(record.Scope, record.ServiceID, record.ID, present)
	if l == nil {
		return
	}
	before := l.servable()
	l.record = nil
	if present {
		l.record = record
	}
	if before != l.servable() {
		m.touchGroups(l)
	}
}

func (m *model) takeRule(record *lattice.Rule, present bool) {
	l := m.listener(record.Scope, record.ServiceID, record.ListenerID, present)
	if l == nil {
		return
	}
	at := slices.IndexFunc(l.rules, func(rule *ruleNode) bool { return rule.record.ID == record.ID })
	// New references are counted before old ones are removed, so that a target group that stays in the rule is never without a
	// user.
	if present {
		for _, id := range record.TargetGroupIDs {
			m.group(ref{record.Scope, id}, true).countUser(l, 1)
		}
	}
	if at >= 0 {
		for _, id := range l.rules[at].record.TargetGroupIDs {
			m.group(ref{record.Scope, id}, true).countUser(l, -1)
		}
	}
	switch {
	case present && at >= 0:
		l.rules[at].record = record
	case present:
		l.rules = append(l.rules, &ruleNode{record: record, exchanges: &tally.Exchanges{}})
	case at >= 0:
		l.rules = slices.Delete(l.rules, at, at+1)
	}
}

func (m *model) takeTargetGroup(record *lattice.TargetGroup, present bool) {
	g := m.group(ref{record.Scope, record.ID}, present)
	if g == nil {
		return
	}
	g.changed = g.changed || !present || g.record == nil || !sameConfig(g.record, record)
	g.record = nil
	if present {
		g.record = record
	}
}

func (m *model) takeTargets(record *lattice.Targets, present bool) {
	g := m.group(ref{record.Scope, record.TargetGroupID}, present)
	if g == nil {
		return
	}
	g.changed = true
	g.members = nil
	if present {
		g.members = record
	}
	m.arrange(g) // one after the other: a target that is removed and added again within a batch is a new one
}

// arrange brings a target group's targets in line with its record. Those that stay keep what the data plane holds for
// them. It does nothing for target groups that were never in use: there may be very many.
func (m *model) arrange(g *groupNode) {
	if g.arranged == g.members || len(g.users) == 0 && g.compiled == nil {
		return
	}
	g.arranged = g.members
	var members []*lattice.Target
	if g.members != nil {
		members = slices.SortedFunc(slices.Values(g.members.Members), (*lattice.Target).Compare)
	}
	before := g.targets
	g.targets = make([]targetNode, 0, len(members))
	for _, member := range members {
		for len(before) > 0 && before[0].record.Compare(member) < 0 {
			m.drop(before[0].target)
			before = before[1:]
		}
		node := targetNode{record: member}
		if len(before) > 0 && before[0].record.Compare(member) == 0 {
			node.target, node.problem = before[0].target, before[0].problem
			before = before[1:]
		}
		g.targets = append(g.targets, node)
	}
	for _, node := range before {
		m.drop(node.target)
	}
}

// drop marks a target, if there is one, to be closed once it cannot be chosen any more.
func (m *model) drop(target *Target) {
	if target != nil {
		m.goneTargets = append(m.goneTargets, target)
	}
}

// service returns a service's node, marked dirty. If there is none, it makes one if make is true, and otherwise returns nil.
// The three functions below do the same.
func (m *model) service(ref ref, create bool) *serviceNode {
	s := m.services[ref]
	if s == nil {
		if !create {
			return nil
		}
		s = &serviceNode{ref: ref, exchanges: &tally.Exchanges{}}
		m.services[ref] = s
	}
	m.touchService(s)
	return s
}

func (m *model) network(ref ref, create bool) *networkNode {
	n := m.networks[ref]
	if n == nil {
		if !create {
			return nil
		}
		n = &networkNode{ref: ref, services: map[*serviceNode]bool{}}
		m.networks[ref] = n
	}
	if !n.dirty {
		n.dirty = true
		m.dirtyNetworks = append(m.dirtyNetworks, n)
	}
	return n
}

func (m *model) group(ref ref, create bool) *groupNode {
	g := m.groups[ref]
	if g == nil {
		if !create {
			return nil
		}
		g = &groupNode{ref: ref}
		m.groups[ref] = g
	}
	m.touchGroup(g)
	return g
}

// listener marks the listener alone, not its service: a change of a rule recompiles one listener.
func (m *model) listener(scope lattice.Scope, serviceID, id string, create bool) *listenerNode {
	s := m.services[ref{scope, serviceID}]
	if s == nil {
		if !create {
			return nil
		}
		s = m.service(ref{scope, serviceID}, true)
	}
	at := slices.IndexFunc(s.listeners, func(l *listenerNode) bool { return l.id == id })
	if at < 0 {
		if !create {
			return nil
		}
		at = len(s.listeners)
		s.listeners = append(s.listeners, &listenerNode{service: s, id: id})
	}
	m.touchListener(s.listeners[at])
	return s.listeners[at]
}

func (m *model) touchService(s *serviceNode) {
	if !s.dirty {
		s.dirty = true
		m.dirtyServices = append(m.dirtyServices, s)
	}
}

func (m *model) touchListener(l *listenerNode) {
	if !l.dirty {
		l.dirty = true
		m.dirtyListeners = append(m.dirtyListeners, l)
	}
}

func (m *model) touchGroup(g *groupNode) {
	if !g.dirty {
		g.dirty = true
		m.dirtyGroups = append(m.dirtyGroups, g)
	}
}

// touchGroups marks the target groups that a listener's rules refer to.
func (m *model) touchGroups(l *listenerNode) {
	for _, rule := range l.rules {
		for _, id := range rule.record.TargetGroupIDs {
			m.touchGroup(m.groups[ref{l.service.ref.scope, id}])
		}
	}
}

// reachable reports whether requests can reach the listener.
func (l *listenerNode) reachable() bool { return l.servable() && len(l.service.networks) > 0 }

// servable reports whether the listener exists and has a known protocol: another node of the cluster may run a newer
// version of the program, which knows more of them.
func (l *listenerNode) servable() bool {
	return l.record != nil && lattice.IsListenerProtocol(l.record.Protocol)
}

// key returns the target group's key, also when there is no record.
func (g *groupNode) key() lattice.Key { return lattice.TargetGroupKey(g.ref.scope, g.ref.id) }

// countUser counts a listener's references to the target group up or down.
func (g *groupNode) countUser(l *listenerNode, by int) {
	at := slices.IndexFunc(g.users, func(u groupUser) bool { return u.listener == l })
	if at < 0 {
		g.users = append(g.users, groupUser{listener: l, times: by})
		return
	}
	if g.users[at].times += by; g.users[at].times == 0 {
		g.users = slices.Delete(g.users, at, at+1)
	}
}

// sweep removes the dirty nodes that nothing needs any more, and empties the lists of dirty nodes.
func (m *model) sweep() {
	for _, l := range m.dirtyListeners {
		l.dirty = false
		if l.record == nil && len(l.rules) == 0 {
			l.service.listeners = slices.DeleteFunc(l.service.listeners, func(other *listenerNode) bool { return other == l })
			m.touchService(l.service)
		}
	}
	for _, s := range m.dirtyServices {
		s.dirty = false
		if s.record == nil && s.policy.record == nil && len(s.logs) == 0 && len(s.listeners) == 0 && len(s.associations) == 0 {
			delete(m.services, s.ref)
		}
	}
	for _, n := range m.dirtyNetworks {
		n.dirty, n.moved = false, false
		if n.record == nil && n.policy.record == nil && len(n.logs) == 0 && len(n.services) == 0 && len(n.vpcs) == 0 {
			delete(m.networks, n.ref)
		}
	}
	for _, g := range m.dirtyGroups {
		g.dirty, g.changed = false, false
		if g.record == nil && g.members == nil && len(g.users) == 0 {
			delete(m.groups, g.ref)
		}
	}
	m.dirtyServices, m.dirtyListeners, m.dirtyNetworks, m.dirtyGroups = nil, nil, nil, nil
	m.goneTargets, m.goneGroups = nil, nil
}

// sameConfig reports whether two versions of a target group are the same for health.
func sameConfig(a, b *lattice.TargetGroup) bool {
	return a.Type == b.Type && reflect.DeepEqual(a.Config, b.Config)
}

// insert puts a resource into a list in order of creation.
func insert[R lattice.Resource](list []R, resource R) []R {
	at, _ := slices.BinarySearchFunc(list, resource, func(a, b R) int { return older(a.Meta(), b.Meta()) })
	return slices.Insert(list, at, resource)
}

// remove takes a resource out of a list.
func remove[R lattice.Resource](list []R, id string) []R {
	return slices.DeleteFunc(list, func(r R) bool { return r.Meta().ID == id })
}

// older orders resources by creation, and by id those that were created at the same instant.
func older(a, b *lattice.Base) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
}
