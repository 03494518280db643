package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// shownProblems bounds how many mistakes in a document are reported.
const shownProblems = 20

// lookupLimit is how long the name of a target may take to be resolved.
const lookupLimit = 10 * time.Second

// checker checks the records of a document, and fills in what may be left out.
type checker struct {
	*Store
	ctx      context.Context
	now      time.Time
	view     catalog.View
	records  map[lattice.Key]lattice.Record // the records of the document
	order    []lattice.Record
	numbers  map[uint32]bool // the numbers of addresses that the document uses
	problems []error
	more     int // how many problems are not shown
}

// DocumentError says what is wrong with a document.
type DocumentError struct{ Problems error }

func (e *DocumentError) Error() string { return e.Problems.Error() }
func (e *DocumentError) Unwrap() error { return e.Problems }

// check returns the records of a document, or what is wrong with it.
func (s *Store) check(ctx context.Context, d *document) ([]lattice.Record, error) {
	c := &checker{Store: s, ctx: ctx, now: time.Now().UTC().Truncate(time.Millisecond), records: map[lattice.Key]lattice.Record{}, numbers: map[uint32]bool{}}
	where := map[lattice.Key]string{}
	for _, e := range d.entries {
		rec, err := c.read(e)
		if err != nil {
			c.wrong(e.where, err)
			continue
		}
		key := rec.Key()
		if first, known := where[key]; known {
			c.wrong(e.where, fmt.Errorf("it is the same as %s", first))
			continue
		}
		c.records[key], where[key] = rec, e.where
		c.order = append(c.order, rec)
	}
	if len(c.problems) == 0 { // Otherwise a record that could not be read would be reported as missing, too.
		for _, rec := range c.order {
			if t, ok := rec.(*lattice.Targets); ok { // This is done outside the view, since looking names up takes time.
				c.resolve(where[rec.Key()], t)
			}
		}
		s.Catalog.Read(func(v catalog.View) {
			c.view = v
			for _, rec := range c.order {
				c.relations(where[rec.Key()], rec)
			}
		})
	}
	if c.more > 0 {
		c.problems = append(c.problems, fmt.Errorf("and %d more", c.more))
	}
	if err := errors.Join(c.problems...); err != nil {
		return nil, &DocumentError{err}
	}
	return c.order, nil
}

func (c *checker) wrong(where string, err error) {
	if len(c.problems) == shownProblems {
		c.more++
		return
	}
	c.problems = append(c.problems, fmt.Errorf("%s: %w", where, err))
}

// read returns a record of a document, after all checks that need no other record.
func (c *checker) read(e entry) (lattice.Record, error) {
	input, err := api.CheckRecord(e.kind, e.json)
	if err != nil {
		if wrong, ok := errors.AsType[*shape.ValidationException](err); ok && wrong.Message != nil {
			return nil, errors.New(*wrong.Message)
		}
		return nil, err
	}
	rec, ok := lattice.NewRecord(e.kind)
	if !ok {
		return nil, fmt.Errorf("unknown kind %q", e.kind)
	}
	decoder := json.NewDecoder(bytes.NewReader(e.json))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(rec); err != nil {
		return nil, err
	}
	if resource, ok := rec.(lattice.Resource); ok {
		if err := c.base(e.kind, resource.Meta()); err != nil {
			return nil, err
		}
	}
	if create, ok := input.(*shape.CreateResourceConfigurationRequest); ok {
		// Operations refuse the members that a child inherits from its group.
		if create.Type == shape.ResourceConfigurationTypeChild {
			create.AllowAssociationToShareableServiceNetwork, create.Protocol, create.ResourceGatewayIdentifier = nil, "", nil
		}
		for _, problem := range lattice.ResourceConfigurationProblems(create) {
			return nil, errors.New(problem.Message)
		}
	}
	return rec, c.complete(rec)
}

// base checks and completes what all resources have.
func (c *checker) base(kind lattice.Kind, b *lattice.Base) error {
	if of, ok := lattice.KindOfID(b.ID); !ok || of != kind || !isID(b.ID) {
		return fmt.Errorf("id is %q; it must have the form of %s", b.ID, lattice.NewID(kind))
	}
	if b.CreatedAt.IsZero() {
		b.CreatedAt = c.now
	}
	if b.UpdatedAt.IsZero() {
		b.UpdatedAt = b.CreatedAt
	}
	for _, problem := range lattice.TagProblems(b.Tags) {
		return errors.New(problem.Message)
	}
	return nil
}

// isID reports whether the part of an id after its prefix has the form that all ids have.
func isID(id string) bool {
	_, random, _ := strings.Cut(id, "-")
	return len(random) == 17 && strings.Trim(random, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// complete checks what the model does not say, and fills in what may be left out.
func (c *checker) complete(rec lattice.Record) error {
	switch r := rec.(type) {
	case *lattice.AuthPolicy:
		return c.policy(&r.AttachedPolicy, policy.AuthPolicyRequirements())
	case *lattice.ResourcePolicy:
		return c.policy(&r.AttachedPolicy, policy.ResourcePolicyRequirements())
	case *lattice.TargetGroup:
		config, problems := lattice.NewTargetGroupConfig(r.Type, r.Config)
		for _, problem := range problems {
			return errors.New(problem.Message)
		}
		r.Config = config
	case *lattice.Service:
		if r.AuthType == "" {
			r.AuthType = shape.AuthTypeNone
		}
		if r.IdleTimeoutSeconds == 0 {
			r.IdleTimeoutSeconds = lattice.DefaultIdleTimeoutSeconds
		}
		if r.DomainName == "" {
			r.DomainName = lattice.GeneratedDomainName(r.Name, r.ID, r.Scope.Region, c.Domain)
		}
		return hostName(r.DomainName)
	case *lattice.ServiceNetwork:
		if r.AuthType == "" {
			r.AuthType = shape.AuthTypeNone
		}
	case *lattice.ServiceNetworkServiceAssociation:
		return hostName(r.CustomDomainName)
	case *lattice.ServiceNetworkResourceAssociation:
		return hostName(r.DomainName)
	case *lattice.AccessLogSubscription:
		var ok bool
		if r.DestinationType, r.DestinationARN, ok = lattice.StoredLogDestination(r.DestinationARN); !ok {
			return fmt.Errorf("destinationArn is %q; it must be that of a log group, a bucket or a delivery stream", r.DestinationARN)
		}
	case *lattice.Listener:
		if r.Port == 0 {
			r.Port = lattice.DefaultListenerPort(r.Protocol)
		}
	case *lattice.Rule:
		return c.rule(r)
	case *lattice.Targets:
		for i, t := range r.Members {
			t.Number = max(t.Number, int64(i+1))
			if t.RegisteredAt.IsZero() {
				t.RegisteredAt = c.now
			}
			r.Registrations = max(r.Registrations, t.Number)
		}
	}
	return nil
}

// hostName refuses a text that cannot be the name of a host. It may be empty.
func hostName(name string) error {
	if len(name) > 253 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		return fmt.Errorf("%q is not the name of a host", name)
	}
	return nil
}

func (c *checker) policy(p *lattice.AttachedPolicy, requirements policy.Requirements) error {
	if !isID(p.ResourceID) {
		return fmt.Errorf("resourceId is %q; it must be an id, such as %s", p.ResourceID, lattice.NewID(lattice.KindService))
	}
	document, err := policy.Parse(p.Policy)
	if err == nil {
		err = document.Require(requirements)
	}
	if err != nil {
		return fmt.Errorf("the policy is not valid: %w", err)
	}
	if p.CreatedAt.IsZero() {
		p.CreatedAt = c.now
	}
	if p.UpdatedAt.IsZero() {
		p.UpdatedAt = p.CreatedAt
	}
	return nil
}

// rule completes the ids of target groups from the action.
func (c *checker) rule(r *lattice.Rule) error {
	if r.IsDefault {
		r.Priority, r.Match = lattice.DefaultRulePriority, nil
	} else if r.Match == nil || r.Match.HttpMatch == nil {
		return errors.New("match has no httpMatch; a rule that is not the default rule needs one")
	}
	r.TargetGroupIDs = nil
	if r.Action == nil || r.Action.Forward == nil {
		return nil
	}
	for _, weighted := range r.Action.Forward.TargetGroups {
		id := *weighted.TargetGroupIdentifier
		if arn, ok := lattice.ParseARN(id); ok {
			if arn.Scope != r.Scope {
				return fmt.Errorf("the target group %s is of another account or Region", id)
			}
			id = arn.ID()
		}
		r.TargetGroupIDs = append(r.TargetGroupIDs, id)
	}
	return nil
}

// get returns a record of the document, or else one that is stored.
func (c *checker) get(key lattice.Key) (lattice.Record, bool) {
	if rec, ok := c.records[key]; ok {
		return rec, true
	}
	if c.view == nil {
		return nil, false
	}
	return c.view.Get(key)
}

// relations checks a record against the records that it refers to.
func (c *checker) relations(where string, rec lattice.Record) {
	for _, key := range references(rec) {
		if _, ok := c.get(key); !ok {
			c.wrong(where, fmt.Errorf("it refers to %s %s, which is neither in the document nor stored", key.Kind, key.Path))
			return
		}
	}
	switch r := rec.(type) {
	case *lattice.Rule:
		listener, _ := c.get(lattice.ListenerKey(r.Scope, r.ServiceID, r.ListenerID))
		for _, id := range r.TargetGroupIDs {
			group, _ := c.get(lattice.TargetGroupKey(r.Scope, id))
			if problem := group.(*lattice.TargetGroup).ForwardProblem(listener.(*lattice.Listener).Protocol); problem != "" {
				c.wrong(where, errors.New(problem))
			}
		}
	case *lattice.Listener:
		rule, _ := c.get(lattice.RuleKey(r.Scope, r.ServiceID, r.ID, r.DefaultRuleID))
		if !rule.(*lattice.Rule).IsDefault {
			c.wrong(where, fmt.Errorf("defaultRuleId is %q, which is not a default rule", r.DefaultRuleID))
		}
	case *lattice.Targets:
		c.targets(where, r)
	case *lattice.ResourceConfiguration:
		if r.IsChild() { // Operations do not check what a child inherits from its group.
			rec, _ := c.get(lattice.ResourceConfigurationKey(r.Scope, r.GroupID))
			group, ok := rec.(*lattice.ResourceConfiguration)
			if !ok || !group.IsGroup() {
				c.wrong(where, fmt.Errorf("groupId is %q; a child needs that of a group", r.GroupID))
				return
			}
			r.ResourceGatewayID, r.AllowSharedNetworks = group.ResourceGatewayID, group.AllowSharedNetworks
		}
	case *lattice.ResourceEndpointAssociation:
		r.AddressNumber = c.number(r.Key(), r.AddressNumber)
	case *lattice.ServiceNetworkResourceAssociation:
		configuration, _ := c.get(lattice.ResourceConfigurationKey(r.Scope, r.ResourceConfigurationID))
		if configuration.(*lattice.ResourceConfiguration).IsGroup() {
			return // Clients reach its children, not the group.
		}
		if r.DomainName == "" {
			r.DomainName = lattice.ResourceDomainName(r.ID, r.ResourceConfigurationID, r.Scope.Region, c.Domain)
		}
		r.AddressNumber = c.number(r.Key(), r.AddressNumber)
		for endpoint, number := range r.EndpointAddressNumbers {
			r.EndpointAddressNumbers[endpoint] = c.number(r.Key(), number)
		}
	}
}

// number returns the number of a resource's address, or the lowest free number if there is none yet or another resource has it.
// All accounts share the numbers.
func (c *checker) number(of lattice.Key, number uint32) uint32 {
	isFree := func(n uint32) bool {
		holder, held := c.view.Holder(lattice.ResourceAddressClaim(n))
		return (!held || holder == of) && !c.numbers[n]
	}
	if number == 0 || !isFree(number) {
		for number = 1; !isFree(number); number++ {
		}
	}
	c.numbers[number] = true
	return number
}

// references returns the keys of the records that a record needs.
func references(rec lattice.Record) []lattice.Key {
	scope := rec.Key().Scope
	attached := func(id string) []lattice.Key {
		kind, _ := lattice.KindOfID(id)
		return []lattice.Key{{Kind: kind, Scope: scope, Path: id}}
	}
	optional := func(keys []lattice.Key, key lattice.Key) []lattice.Key {
		if key.Path == "" {
			return keys
		}
		return append(keys, key)
	}
	switch r := rec.(type) {
	case *lattice.AuthPolicy:
		return attached(r.ResourceID)
	case *lattice.ResourcePolicy:
		return attached(r.ResourceID)
	case *lattice.AccessLogSubscription:
		return attached(r.ResourceID)
	case *lattice.Targets:
		return []lattice.Key{lattice.TargetGroupKey(scope, r.TargetGroupID)}
	case *lattice.Listener:
		return []lattice.Key{lattice.ServiceKey(scope, r.ServiceID), lattice.RuleKey(scope, r.ServiceID, r.ID, r.DefaultRuleID)}
	case *lattice.Rule:
		keys := []lattice.Key{lattice.ServiceKey(scope, r.ServiceID), lattice.ListenerKey(scope, r.ServiceID, r.ListenerID)}
		for _, id := range r.TargetGroupIDs {
			keys = append(keys, lattice.TargetGroupKey(scope, id))
		}
		return keys
	case *lattice.ResourceConfiguration:
		keys := optional(nil, lattice.Key{Kind: lattice.KindResourceGateway, Scope: scope, Path: r.ResourceGatewayID})
		keys = optional(keys, lattice.Key{Kind: lattice.KindResourceConfiguration, Scope: scope, Path: r.GroupID})
		return optional(keys, lattice.DomainVerificationKey(scope, r.DomainVerificationID))
	case *lattice.ResourceEndpointAssociation:
		return []lattice.Key{{Kind: lattice.KindResourceConfiguration, Scope: scope, Path: r.ResourceConfigurationID}}
	case *lattice.DetachedEndpoint:
		return []lattice.Key{{Kind: lattice.KindResourceConfiguration, Scope: scope, Path: r.ResourceConfigurationID}}
	case *lattice.ServiceNetworkServiceAssociation:
		return []lattice.Key{lattice.ServiceKey(scope, r.ServiceID), lattice.ServiceNetworkKey(scope, r.ServiceNetworkID)}
	case *lattice.ServiceNetworkVpcAssociation:
		return []lattice.Key{lattice.ServiceNetworkKey(scope, r.ServiceNetworkID)}
	case *lattice.ServiceNetworkResourceAssociation:
		keys := []lattice.Key{
			lattice.ServiceNetworkKey(scope, r.ServiceNetworkID),
			{Kind: lattice.KindResourceConfiguration, Scope: scope, Path: r.ResourceConfigurationID},
		}
		return optional(keys, lattice.ServiceNetworkResourceAssociationKey(scope, r.GroupAssociationID))
	}
	return nil
}

// group returns the target group of targets.
func (c *checker) group(t *lattice.Targets) *lattice.TargetGroup {
	rec, _ := c.get(lattice.TargetGroupKey(t.Scope, t.TargetGroupID))
	group, _ := rec.(*lattice.TargetGroup)
	return group
}

// resolve replaces names by addresses, and gives targets without a port that of the target group.
func (c *checker) resolve(where string, t *lattice.Targets) {
	group := c.group(t)
	if group == nil {
		c.Catalog.Read(func(v catalog.View) {
			group, _ = catalog.Get[*lattice.TargetGroup](v, lattice.TargetGroupKey(t.Scope, t.TargetGroupID))
		})
	}
	if group == nil {
		return // relations reports the missing group.
	}
	for _, member := range t.Members {
		if group.Type == shape.TargetGroupTypeIp {
			if err := c.lookUp(member, group.Config.IpAddressType); err != nil {
				c.wrong(where, err)
				continue
			}
		}
		in := shape.Target{Id: &member.ID}
		if member.Port != 0 {
			in.Port = &member.Port
		}
		member.ID, member.Port = lattice.TargetIdentity(group, in)
	}
}

func (c *checker) lookUp(target *lattice.Target, family shape.IpAddressType) error {
	if _, err := netip.ParseAddr(target.ID); err == nil {
		return nil
	}
	network := "ip4"
	if family == shape.IpAddressTypeIpv6 {
		network = "ip6"
	}
	ctx, cancel := context.WithTimeout(c.ctx, lookupLimit)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, network, target.ID)
	if err != nil {
		return fmt.Errorf("the target %q is neither an address nor a name that this machine knows: %w", target.ID, err)
	}
	target.ID = addresses[0].Unmap().String()
	return nil
}

func (c *checker) targets(where string, t *lattice.Targets) {
	group := c.group(t)
	if lattice.HoldsOneTarget(group.Type) && len(t.Members) > 1 {
		c.wrong(where, fmt.Errorf("a target group of type %s can have only one target", group.Type))
	}
	for _, member := range t.Members {
		in := shape.Target{Id: &member.ID}
		if member.Port != 0 {
			in.Port = &member.Port
		}
		problem := lattice.TargetProblem(group, in, c.Addresses)
		if problem == "" && lattice.HasPorts(group.Type) && (member.Port < 1 || member.Port > 65535) {
			problem = fmt.Sprintf("port is %d; it must be between 1 and 65535", member.Port)
		}
		if problem != "" {
			c.wrong(where, fmt.Errorf("the target %s: %s", member.ID, problem))
		}
	}
}
