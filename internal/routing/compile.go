package routing

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

// defaultIdleTimeout is the idle timeout of services that set none (API CreateService, idleTimeoutSeconds).
const defaultIdleTimeout = 60 * time.Second

func (r *Router) settleNetworks() {
	for _, n := range r.model.dirtyNetworks {
		if n.moved {
			n.compiled = nil
			for s := range n.services {
				r.model.touchService(s)
			}
		}
		if n.record == nil {
			continue
		}
		if n.compiled == nil {
			n.compiled = &Network{ARN: n.record.ARN()}
		}
		n.compiled.source.Store(source(n.vpcs))
		guard := r.guard(&n.policy, n.record.AuthType)
		n.compiled.guard.Store(&guard)
	}
}

// source returns the VPC of the first association. Without any the header's value is there but empty.
func source(vpcs []*lattice.ServiceNetworkVpcAssociation) *Source {
	if len(vpcs) == 0 {
		return &Source{LatticeNetwork: []byte("SourceVpcArn=")}
	}
	first := vpcs[0]
	return newSource(first.Scope.Region, first.Scope.Account, first.VpcID)
}

// settleServices finds the networks through which each service is reached.
func (r *Router) settleServices() {
	for _, s := range r.model.dirtyServices {
		wasReached := len(s.networks) > 0
		s.networks = nil
		if s.record != nil {
			s.guard = r.guard(&s.policy, s.record.AuthType)
			for _, association := range s.associations {
				n := r.model.networks[ref{association.Scope, association.ServiceNetworkID}]
				if n.record != nil && !slices.Contains(s.networks, n) {
					s.networks = append(s.networks, n)
				}
			}
		}
		for _, l := range s.listeners {
			r.model.touchListener(l)
			if wasReached != (len(s.networks) > 0) {
				r.model.touchGroups(l)
			}
		}
	}
}

// settleTargetGroups finds the target groups in use, and prepares them.
func (r *Router) settleTargetGroups() []Use {
	var uses []Use
	for _, g := range r.model.dirtyGroups {
		r.model.arrange(g)
		wasInUse := g.inUse
		g.inUse = g.record != nil && slices.ContainsFunc(g.users, func(u groupUser) bool { return u.listener.reachable() })
		r.settleTargetGroup(g, g.inUse && !wasInUse)
		if g.inUse != wasInUse || g.inUse && g.changed {
			uses = append(uses, g.use())
		}
	}
	return uses
}

// settleTargetGroup prepares a target group. One that is no longer in use stays prepared while its record exists: a request
// may hold it, and its connections are worth keeping for the next use.
func (r *Router) settleTargetGroup(g *groupNode, taken bool) {
	stale := g.compiled != nil && !g.compiled.is(g.record)
	if stale {
		for i := range g.targets {
			if t := &g.targets[i]; t.target != nil {
				r.model.goneTargets = append(r.model.goneTargets, t.target)
				t.target = nil
			}
		}
		r.model.goneGroups = append(r.model.goneGroups, g.compiled)
		g.compiled = nil
	}
	fresh := g.compiled == nil && g.inUse
	if fresh {
		g.compiled = newTargetGroup(g.record)
	}
	if stale || fresh {
		for _, user := range g.users {
			r.model.touchListener(user.listener)
		}
	}
	if g.compiled != nil && (taken || fresh || g.changed) {
		r.pick(g)
	}
}

func (g *groupNode) use() Use {
	targets := make([]*lattice.Target, len(g.targets))
	for i, t := range g.targets {
		targets[i] = t.record
	}
	return Use{Key: g.key(), Group: g.record, Targets: targets, InUse: g.inUse}
}

// pick makes a new picker of a compiled target group.
func (r *Router) pick(g *groupNode) {
	available := make([]*Target, 0, len(g.targets))
	var unavailable []*Target
	for i := range g.targets {
		t := &g.targets[i]
		// A draining target never gets new requests (API TargetSummary). It keeps its connector until its record is
		// deleted.
		if t.record.Draining() {
			continue
		}
		if !r.connect(g, t) {
			continue
		}
		if r.available(t.target) {
			available = append(available, t.target)
		} else {
			unavailable = append(unavailable, t.target)
		}
	}
	if len(available) == 0 {
		available = unavailable // Fail open (UG target-groups).
	}
	g.compiled.picker.Store(&picker{targets: available})
}

// connect makes the target of a node, and replaces it when its place changes. It returns false when the target
// cannot be routed to.
func (r *Router) connect(g *groupNode, t *targetNode) bool {
	if t.target != nil && g.record.Type == shape.TargetGroupTypeIp {
		return true // The id is the address.
	}
	place, err := r.cfg.Resolve(g.record, t.record)
	if t.target != nil {
		if err == nil && t.target.Place == place {
			return true
		}
		r.model.goneTargets = append(r.model.goneTargets, t.target)
		t.target = nil
	}
	if err != nil {
		if problem := err.Error(); problem != t.problem {
			t.problem = problem
			r.cfg.Log.Warn("the target gets no requests", "targetGroup", g.ref.id, "target", t.record.ID, "port", t.record.Port, "problem", problem)
		}
		return false
	}
	t.problem = ""
	t.target = &Target{
		Key:   t.record.Key(),
		Group: g.compiled,
		ID:    t.record.ID,
		Place: place,
		TLS:   g.compiled.Protocol == shape.TargetGroupProtocolHttps,
	}
	if r.cfg.Connect != nil {
		t.target.Connector = r.cfg.Connect(t.target)
	}
	return true
}

func (r *Router) available(t *Target) bool {
	return r.cfg.Health == nil || r.cfg.Health.Available(t.Key)
}

// settleListeners compiles listeners and publishes them. Names are claimed before others are given up, so that a name that
// changes owners is never without a service.
func (r *Router) settleListeners() {
	claims := make([][]claim, len(r.model.dirtyListeners))
	for i, l := range r.model.dirtyListeners {
		claims[i] = r.claimNames(l)
	}
	for i, l := range r.model.dirtyListeners {
		for _, c := range l.claims {
			if !slices.Contains(claims[i], c) {
				r.ports[c.port].unclaim(c.name, c.protocol, l)
			}
		}
		l.claims = claims[i]
		if !l.reachable() {
			l.compiled = nil
		}
	}
}

// claimNames compiles a listener and claims its names for it. It returns the names.
func (r *Router) claimNames(l *listenerNode) []claim {
	if l.record != nil && !l.servable() {
		r.cfg.Log.Error("the listener has an unknown protocol; it is not served", "listener", l.record.ARN(),
			"protocol", l.record.Protocol, "port", l.record.Port)
	}
	if !l.reachable() {
		return nil
	}
	l.compiled = nil
	for _, n := range slices.Backward(l.service.networks) {
		s := r.compile(l, n)
		s.next, l.compiled = l.compiled, s
	}
	claims := r.claimsOf(l)
	for _, c := range claims {
		if slices.Contains(l.claims, c) {
			r.ports[c.port].swap(c.name, l)
			continue
		}
		p := r.ports[c.port]
		if p == nil {
			p = newPort(c.port, &r.origins)
			r.ports[c.port] = p
		}
		if holder := p.claim(c.name, c.protocol, l); holder != l {
			r.cfg.Log.Warn("the host name belongs to a service that was created earlier", "host", c.name,
				"port", c.port, "service", l.service.ref.id, "holder", holder.service.ref.id)
		}
	}
	return claims
}

// claimsOf returns the names to which a listener answers. One that passes connections through answers to the custom domain
// name only (UG tls-listeners), and no listener to one that belongs to another account.
func (r *Router) claimsOf(l *listenerNode) []claim {
	s := l.compiled
	var names []string
	if !lattice.PassesThrough(s.Protocol) {
		names = append(names, s.DomainName)
	}
	switch owner := r.model.names.owner(l.service.record); owner {
	case "":
	case l.service.ref.scope.Account:
		names = append(names, s.CustomDomainName)
	default:
		r.cfg.Log.Warn("the custom domain name belongs to another account", "host", s.CustomDomainName,
			"port", s.Port, "service", s.ARN, "owner", owner)
	}
	var claims []claim
	for _, name := range names {
		c := claim{port: s.Port, protocol: s.Protocol, name: lattice.CanonicalDomainName(name)}
		if c.name != "" && len(c.name) <= maxHostBytes && !slices.Contains(claims, c) {
			claims = append(claims, c)
		}
	}
	return claims
}

// compile returns a listener that can be reached through a network as the data path sees it.
func (r *Router) compile(l *listenerNode, n *networkNode) *Service {
	record, network := l.service.record, n.compiled
	s := &Service{
		ARN:              record.ARN(),
		ID:               record.ID,
		Name:             record.Name,
		DomainName:       record.DomainName,
		CustomDomainName: record.CustomDomainName,
		CertificateARN:   record.CertificateARN,
		Region:           record.Scope.Region,
		IdleTimeout:      time.Duration(record.IdleTimeoutSeconds) * time.Second,
		NetworkARN:       network.ARN,
		Network:          network,
		ListenerARN:      l.record.ARN(),
		ListenerID:       l.id,
		Protocol:         l.record.Protocol,
		Port:             int(l.record.Port),
		Exchanges:        l.service.exchanges,
		logs:             l.service.accessLogs(n),
		guard:            l.service.guard,
		tags:             record.Tags,
		port:             strconv.Itoa(int(l.record.Port)),
		origin:           &record.Base,
	}
	if s.IdleTimeout <= 0 {
		s.IdleTimeout = defaultIdleTimeout
	}
	slices.SortFunc(l.rules, func(a, b *ruleNode) int {
		return cmp.Or(cmp.Compare(a.record.Priority, b.record.Priority), strings.Compare(a.record.ID, b.record.ID))
	})
	var forwards []*Forward // by target group; rules of one service share them
	s.rules = make([]*Rule, 0, len(l.rules))
	for _, node := range l.rules {
		if node.record.IsDefault {
			s.fallback = r.compileRule(s, node, &forwards)
		} else if !lattice.PassesThrough(s.Protocol) {
			s.rules = append(s.rules, r.compileRule(s, node, &forwards))
		}
	}
	if s.fallback == nil {
		r.cfg.Log.Error("the listener has no default rule; it answers 404", "listener", s.ListenerARN)
		s.fallback = &Rule{IsDefault: true, Priority: lattice.DefaultRulePriority, FixedStatus: 404, Exchanges: &tally.Exchanges{}}
	}
	return s
}

func (r *Router) compileRule(s *Service, node *ruleNode, forwards *[]*Forward) *Rule {
	record := node.record
	rule := &Rule{
		ID:        record.ID,
		ARN:       record.ARN(),
		Name:      record.Name,
		Priority:  int(record.Priority),
		IsDefault: record.IsDefault,
		Exchanges: node.exchanges,
	}
	if !rule.IsDefault && record.Match != nil && record.Match.HttpMatch != nil {
		rule.match = compileMatch(record.Match.HttpMatch)
	}
	if record.Action == nil {
		return rule
	}
	if fixed := record.Action.FixedResponse; fixed != nil && fixed.StatusCode != nil {
		rule.FixedStatus = int(*fixed.StatusCode)
		return rule
	}
	if record.Action.Forward == nil {
		return rule
	}
	targetGroups := record.Action.Forward.TargetGroups
	targetGroups = targetGroups[:min(len(targetGroups), len(record.TargetGroupIDs))]
	weights := make([]int, len(targetGroups))
	rule.forwards = make([]*Forward, len(targetGroups))
	for i, weighted := range targetGroups {
		weights[i] = defaultWeight
		if weighted.Weight != nil {
			weights[i] = max(0, min(maxWeight, int(*weighted.Weight)))
		}
		rule.forwards[i] = r.forward(s, ref{record.Scope, record.TargetGroupIDs[i]}, forwards)
	}
	if !node.schedule.is(weights) {
		node.schedule = newSchedule(weights)
	}
	rule.schedule = node.schedule
	return rule
}

// forward returns the target group as a service uses it.
func (r *Router) forward(s *Service, ref ref, forwards *[]*Forward) *Forward {
	g := r.model.groups[ref]
	targetGroup := g.compiled
	if targetGroup == nil {
		// The target group does not exist yet. Until then, one without targets takes its place.
		targetGroup = newTargetGroup(&lattice.TargetGroup{Base: lattice.Base{Scope: ref.scope, ID: ref.id}})
	}
	at := slices.IndexFunc(*forwards, func(f *Forward) bool { return f.TargetGroup.Key == targetGroup.Key })
	if at >= 0 {
		return (*forwards)[at]
	}
	// AWS separates with "; " on the wire.
	f := &Forward{TargetGroup: targetGroup, LatticeTarget: headerValue(
		"ServiceArn=", s.ARN, "; ServiceNetworkArn=", s.NetworkARN, "; TargetGroupArn=", targetGroup.ARN)}
	*forwards = append(*forwards, f)
	return f
}

func compileMatch(m *shape.HttpMatch) match {
	var compiled match
	if m.Method != nil {
		compiled.method = *m.Method
	}
	if m.PathMatch != nil && m.PathMatch.Match != nil {
		compiled.path = compilePattern(pathFolds(m.PathMatch.CaseSensitive), m.PathMatch.Match.Exact, m.PathMatch.Match.Prefix, nil)
	}
	for _, header := range m.HeaderMatches {
		if header.Name == nil || header.Match == nil {
			continue
		}
		compiled.headers = append(compiled.headers, headerMatch{
			name:  foldString(*header.Name),
			value: compilePattern(headerFolds(header.CaseSensitive), header.Match.Exact, header.Match.Prefix, header.Match.Contains),
		})
	}
	return compiled
}

// pathFolds reports whether a path is compared without regard to case. Paths are case-sensitive unless the rule says
// otherwise: the model of 2026 documents that default, where the user guide still says the opposite.
func pathFolds(caseSensitive *bool) bool { return caseSensitive != nil && !*caseSensitive }

// headerFolds reports the same of a header's value, which is insensitive unless the rule says otherwise.
func headerFolds(caseSensitive *bool) bool { return caseSensitive == nil || !*caseSensitive }

// compilePattern takes the forms of a union, of which one is set.
func compilePattern(fold bool, exact, prefix, contains *string) pattern {
	p := pattern{fold: fold}
	switch {
	case exact != nil:
		p.form, p.text = formExact, *exact
	case prefix != nil:
		p.form, p.text = formPrefix, *prefix
	case contains != nil:
		p.form, p.text = formContains, *contains
	}
	if p.fold {
		p.text = foldString(p.text)
	}
	return p
}

// headerValue joins texts into the value of a header. It replaces control bytes, which would split the header, by spaces: ids
// have none, but an edited record may.
func headerValue(texts ...string) []byte {
	length := 0
	for _, text := range texts {
		length += len(text)
	}
	value := make([]byte, 0, length)
	for _, text := range texts {
		value = append(value, text...)
	}
	for i, c := range value {
		if c < ' ' || c == 0x7f {
			value[i] = ' '
		}
	}
	return value
}
