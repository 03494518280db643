package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// rounds is how often each race is run.
const rounds = 25

// client calls operations in its own account, and fails the test when an operation fails that must not.
type client struct {
	t      *testing.T
	c      *Control
	caller api.Caller
}

func newClient(t *testing.T) client {
	return client{
		t:      t,
		c:      New(Config{Catalog: store, Health: scriptedHealth{}, Domain: "localhost", Log: slog.New(slog.DiscardHandler)}),
		caller: api.Caller{Account: newTestAccount(), Region: "us-west-2"},
	}
}

// call calls an operation that must succeed.
func call[In, Out any](c client, operation func(context.Context, api.Caller, *In) (*Out, error), in *In) *Out {
	c.t.Helper()
	out, err := operation(context.Background(), c.caller, in)
	if err != nil {
		c.t.Fatalf("%T: %v", in, err)
	}
	return out
}

func (c client) service(name string) *string {
	c.t.Helper()
	return call(c, c.c.CreateService, &shape.CreateServiceRequest{Name: &name}).Id
}

func (c client) serviceNetwork(name string) *string {
	c.t.Helper()
	return call(c, c.c.CreateServiceNetwork, &shape.CreateServiceNetworkRequest{Name: &name}).Id
}

func (c client) targetGroup(name string) *string {
	c.t.Helper()
	return call(c, c.c.CreateTargetGroup, &shape.CreateTargetGroupRequest{Name: &name, Type: shape.TargetGroupTypeLambda}).Id
}

func (c client) listener(service *string) *string {
	c.t.Helper()
	return call(c, c.c.CreateListener, listenerRequest(service, "http", 80)).Id
}

func listenerRequest(service *string, name string, port int32) *shape.CreateListenerRequest {
	return &shape.CreateListenerRequest{
		ServiceIdentifier: service, Name: &name, Port: &port, Protocol: shape.ListenerProtocolHttp, DefaultAction: answer(404),
	}
}

func ruleRequest(service, listener *string, name string, priority int32, action *shape.RuleAction) *shape.CreateRuleRequest {
	return &shape.CreateRuleRequest{
		ServiceIdentifier: service, ListenerIdentifier: listener, Name: &name, Priority: &priority, Action: action,
		Match: &shape.RuleMatch{HttpMatch: &shape.HttpMatch{Method: ptr("GET")}},
	}
}

func answer(status int32) *shape.RuleAction {
	return &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: &status}}
}

func forward(targetGroup *string) *shape.RuleAction {
	return &shape.RuleAction{Forward: &shape.ForwardAction{TargetGroups: []shape.WeightedTargetGroup{{TargetGroupIdentifier: targetGroup}}}}
}

// race runs functions at once and returns their errors, in order.
func race(functions ...func() error) []error {
	errs := make([]error, len(functions))
	var start, done sync.WaitGroup
	start.Add(1)
	for i, function := range functions {
		done.Go(func() {
			start.Wait()
			errs[i] = function()
		})
	}
	start.Done()
	done.Wait()
	return errs
}

// oneSucceeds checks that one of the racers won, and that the others got a ConflictException.
func oneSucceeds(t *testing.T, errs []error) {
	t.Helper()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else if _, ok := errors.AsType[*shape.ConflictException](err); !ok {
			t.Errorf("a racer got %v, want a ConflictException", err)
		}
	}
	if succeeded != 1 {
		t.Errorf("%d racers succeeded, want 1", succeeded)
	}
}

// refused reports whether an operation was refused because of another one, and fails the test for other errors.
func refused(t *testing.T, err error) bool {
	t.Helper()
	_, conflict := errors.AsType[*shape.ConflictException](err)
	_, notFound := errors.AsType[*shape.ResourceNotFoundException](err)
	if err != nil && !conflict && !notFound {
		t.Errorf("a racer got %v, want a ConflictException or a ResourceNotFoundException", err)
	}
	return err != nil
}

// checkReferences checks that whatever the client's records refer to exists, that a target group serves one service, and that a
// child is in each service network of its group.
func (c client) checkReferences() {
	c.t.Helper()
	scope := c.caller.Scope()
	c.c.Catalog.Read(func(v catalog.View) {
		need := func(from lattice.Record, to lattice.Key) {
			if _, ok := v.Get(to); !ok {
				c.t.Errorf("%s refers to %s, which does not exist", from.Key(), to)
			}
		}
		for a := range catalog.All[*lattice.ServiceNetworkServiceAssociation](v, lattice.All(lattice.KindServiceNetworkServiceAssociation, scope)) {
			need(a, lattice.ServiceKey(scope, a.ServiceID))
			need(a, lattice.ServiceNetworkKey(scope, a.ServiceNetworkID))
		}
		for a := range catalog.All[*lattice.ServiceNetworkVpcAssociation](v, lattice.All(lattice.KindServiceNetworkVpcAssociation, scope)) {
			need(a, lattice.ServiceNetworkKey(scope, a.ServiceNetworkID))
		}
		for g := range catalog.All[*lattice.TargetGroup](v, lattice.All(lattice.KindTargetGroup, scope)) {
			services := map[string]bool{}
			for r := range catalog.All[*lattice.Rule](v, lattice.By(lattice.KindRule, scope, "targetgroup", g.ID)) {
				services[r.ServiceID] = true
			}
			if len(services) > 1 {
				c.t.Errorf("target group %s serves %d services", g.ID, len(services))
			}
		}
		for r := range catalog.All[*lattice.ResourceConfiguration](v, lattice.All(lattice.KindResourceConfiguration, scope)) {
			need(r, lattice.ResourceGatewayKey(scope, r.ResourceGatewayID))
			if !r.IsChild() {
				continue
			}
			need(r, lattice.ResourceConfigurationKey(scope, r.GroupID))
			group := &lattice.ResourceConfiguration{Base: lattice.Base{ID: r.GroupID, Scope: scope}}
			for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](v, associationsOf(group)) {
				if _, held := v.Holder(lattice.ResourceAssociationClaim(scope, a.ServiceNetworkID, r.ID)); !held {
					c.t.Errorf("child %s is not in service network %s of its group", r.ID, a.ServiceNetworkID)
				}
			}
		}
		for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](v, lattice.All(lattice.KindServiceNetworkResourceAssociation, scope)) {
			need(a, lattice.ServiceNetworkKey(scope, a.ServiceNetworkID))
			need(a, lattice.ResourceConfigurationKey(scope, a.ResourceConfigurationID))
			if a.GroupAssociationID != "" {
				need(a, lattice.ServiceNetworkResourceAssociationKey(scope, a.GroupAssociationID))
			}
		}
	})
}

// checkRulesOf checks what the listeners and rules of a service refer to, even if the service is gone.
func (c client) checkRulesOf(service *string) {
	c.t.Helper()
	scope := c.caller.Scope()
	c.c.Catalog.Read(func(v catalog.View) {
		_, exists := v.Get(lattice.ServiceKey(scope, *service))
		for l := range catalog.All[*lattice.Listener](v, lattice.By(lattice.KindListener, scope, "service", *service)) {
			if !exists {
				c.t.Errorf("listener %s outlives its service", l.ID)
			}
		}
		for r := range catalog.All[*lattice.Rule](v, lattice.By(lattice.KindRule, scope, "service", *service)) {
			if _, ok := v.Get(lattice.ListenerKey(scope, r.ServiceID, r.ListenerID)); !ok {
				c.t.Errorf("rule %s outlives its listener", r.ID)
			}
			for _, id := range r.TargetGroupIDs {
				if _, ok := v.Get(lattice.TargetGroupKey(scope, id)); !ok {
					c.t.Errorf("rule %s refers to target group %s, which does not exist", r.ID, id)
				}
			}
		}
	})
}

func TestOneOfManyCreatorsGetsThePort(t *testing.T) {
	c := newClient(t)
	service := c.service("orders")
	var creators []func() error
	for i := range 16 {
		creators = append(creators, func() error {
			_, err := c.c.CreateListener(t.Context(), c.caller, listenerRequest(service, fmt.Sprintf("listener%d", i), 8080))
			return err
		})
	}
	oneSucceeds(t, race(creators...))
}

func TestOneOfManyCreatorsGetsThePriority(t *testing.T) {
	c := newClient(t)
	service := c.service("orders")
	listener := c.listener(service)
	var creators []func() error
	for i := range 16 {
		creators = append(creators, func() error {
			_, err := c.c.CreateRule(t.Context(), c.caller, ruleRequest(service, listener, fmt.Sprintf("number-%d", i), 7, answer(404)))
			return err
		})
	}
	oneSucceeds(t, race(creators...))
}

func TestOneOfManyNetworksGetsTheVpc(t *testing.T) {
	c := newClient(t)
	var creators []func() error
	for i := range 8 {
		network := c.serviceNetwork(fmt.Sprintf("network-%d", i))
		creators = append(creators, func() error {
			_, err := c.c.CreateServiceNetworkVpcAssociation(t.Context(), c.caller, &shape.CreateServiceNetworkVpcAssociationRequest{
				ServiceNetworkIdentifier: network, VpcIdentifier: ptr("vpc-01234567"),
			})
			return err
		})
	}
	oneSucceeds(t, race(creators...))
}

func TestTargetGroupServesOneOfTheServicesThatRaceForIt(t *testing.T) {
	c := newClient(t)
	targetGroup := c.targetGroup("wanted")
	var creators []func() error
	for i := range 8 {
		service := c.service(fmt.Sprintf("service-%d", i))
		listener := c.listener(service)
		creators = append(creators, func() error {
			_, err := c.c.CreateRule(t.Context(), c.caller, ruleRequest(service, listener, "forward", 1, forward(targetGroup)))
			return err
		})
	}
	oneSucceeds(t, race(creators...))
	c.checkReferences()
}

func TestDeletedServiceNetworkLeavesNoAssociation(t *testing.T) {
	c := newClient(t)
	for i := range rounds {
		network := c.serviceNetwork(fmt.Sprintf("network-%d", i))
		service := c.service(fmt.Sprintf("service-%d", i))
		errs := race(
			func() error {
				_, err := c.c.DeleteServiceNetwork(t.Context(), c.caller, &shape.DeleteServiceNetworkRequest{ServiceNetworkIdentifier: network})
				return err
			},
			func() error {
				_, err := c.c.CreateServiceNetworkServiceAssociation(t.Context(), c.caller, &shape.CreateServiceNetworkServiceAssociationRequest{
					ServiceIdentifier: service, ServiceNetworkIdentifier: network,
				})
				return err
			},
			func() error {
				_, err := c.c.CreateServiceNetworkVpcAssociation(t.Context(), c.caller, &shape.CreateServiceNetworkVpcAssociationRequest{
					ServiceNetworkIdentifier: network, VpcIdentifier: ptr(fmt.Sprintf("vpc-%08d", i)),
				})
				return err
			},
		)
		deleted := !refused(t, errs[0])
		for _, err := range errs[1:] {
			if associated := !refused(t, err); associated == deleted {
				t.Errorf("round %d: deletion: %v, association: %v; want one of them to be refused", i, errs[0], err)
			}
		}
	}
	c.checkReferences()
}

func TestDeletedServiceLeavesNothingBehind(t *testing.T) {
	c := newClient(t)
	network := c.serviceNetwork("network")
	for i := range rounds {
		service := c.service(fmt.Sprintf("service-%d", i))
		listener := c.listener(service)
		errs := race(
			func() error {
				_, err := c.c.DeleteService(t.Context(), c.caller, &shape.DeleteServiceRequest{ServiceIdentifier: service})
				return err
			},
			func() error {
				_, err := c.c.CreateServiceNetworkServiceAssociation(t.Context(), c.caller, &shape.CreateServiceNetworkServiceAssociationRequest{
					ServiceIdentifier: service, ServiceNetworkIdentifier: network,
				})
				return err
			},
			func() error {
				_, err := c.c.CreateListener(t.Context(), c.caller, listenerRequest(service, "second", 81))
				return err
			},
			func() error {
				_, err := c.c.CreateRule(t.Context(), c.caller, ruleRequest(service, listener, "first", 1, answer(404)))
				return err
			},
		)
		if deleted, associated := !refused(t, errs[0]), !refused(t, errs[1]); deleted == associated {
			t.Errorf("round %d: deletion: %v, association: %v; want one of them to be refused", i, errs[0], errs[1])
		}
		refused(t, errs[2])
		refused(t, errs[3])
		c.checkRulesOf(service)
	}
	c.checkReferences()
}

func TestDeletedTargetGroupIsInNoRule(t *testing.T) {
	c := newClient(t)
	service := c.service("orders")
	listener := c.listener(service)
	for i := range rounds {
		targetGroup := c.targetGroup(fmt.Sprintf("group-%d", i))
		rule := ""
		errs := race(
			func() error {
				_, err := c.c.DeleteTargetGroup(t.Context(), c.caller, &shape.DeleteTargetGroupRequest{TargetGroupIdentifier: targetGroup})
				return err
			},
			func() error {
				out, err := c.c.CreateRule(t.Context(), c.caller, ruleRequest(service, listener, "first", 1, forward(targetGroup)))
				if err == nil {
					rule = *out.Id
				}
				return err
			},
		)
		if deleted, created := !refused(t, errs[0]), !refused(t, errs[1]); deleted == created {
			t.Errorf("round %d: deletion: %v, rule: %v; want one of them to be refused", i, errs[0], errs[1])
		}
		c.checkRulesOf(service)
		if rule != "" {
			call(c, c.c.DeleteRule, &shape.DeleteRuleRequest{ServiceIdentifier: service, ListenerIdentifier: listener, RuleIdentifier: &rule})
		}
	}
}

// A client that orders the rules of a listener reads the priorities and writes them in another order. However
// many do so at once, no rule ever loses its priority or shares it.
func TestRulesReorderedConcurrentlyKeepDistinctPriorities(t *testing.T) {
	const rules, writers = 6, 4
	c := newClient(t)
	service := c.service("orders")
	listener := c.listener(service)
	var ids []*string
	for i := range rules {
		ids = append(ids, call(c, c.c.CreateRule, ruleRequest(service, listener, fmt.Sprintf("number-%d", i), int32(i+1), answer(404))).Id)
	}
	reorder := func() error {
		for range rounds {
			var updates []shape.RuleUpdate
			for i, priority := range rand.Perm(rules) {
				updates = append(updates, shape.RuleUpdate{RuleIdentifier: ids[i], Priority: ptr(int32(priority + 1))})
			}
			_, err := c.c.BatchUpdateRule(t.Context(), c.caller, &shape.BatchUpdateRuleRequest{
				ServiceIdentifier: service, ListenerIdentifier: listener, Rules: updates,
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(race(slices.Repeat([]func() error{reorder}, writers)...)...); err != nil {
		t.Fatal(err)
	}
	out := call(c, c.c.ListRules, &shape.ListRulesRequest{ServiceIdentifier: service, ListenerIdentifier: listener})
	var priorities []int32
	for _, r := range out.Items {
		priorities = append(priorities, *r.Priority)
	}
	slices.Sort(priorities)
	if want := []int32{1, 2, 3, 4, 5, 6, lattice.DefaultRulePriority}; !slices.Equal(priorities, want) {
		t.Errorf("the priorities are %v, want %v", priorities, want)
	}
}

// With deletions that take time, an association that is being deleted still refers to what it joined.
func TestServiceAndNetworkOutliveTheDeletionOfTheirAssociation(t *testing.T) {
	c := newClient(t)
	now := testEpoch
	c.c.Now = func() time.Time { return now }
	network, service := c.serviceNetwork("network"), c.service("service")
	association := call(c, c.c.CreateServiceNetworkServiceAssociation, &shape.CreateServiceNetworkServiceAssociationRequest{
		ServiceIdentifier: service, ServiceNetworkIdentifier: network,
	}).Id
	c.c.LifecycleDelay = time.Minute
	call(c, c.c.DeleteServiceNetworkServiceAssociation, &shape.DeleteServiceNetworkServiceAssociationRequest{
		ServiceNetworkServiceAssociationIdentifier: association,
	})
	if _, err := c.c.DeleteServiceNetwork(t.Context(), c.caller, &shape.DeleteServiceNetworkRequest{ServiceNetworkIdentifier: network}); !refused(t, err) {
		t.Error("the service network could be deleted while an association of it was there")
	}
	if _, err := c.c.DeleteService(t.Context(), c.caller, &shape.DeleteServiceRequest{ServiceIdentifier: service}); !refused(t, err) {
		t.Error("the service could be deleted while an association of it was there")
	}
	c.checkReferences()
	now = now.Add(time.Minute)
	if _, err := c.c.endDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	call(c, c.c.DeleteServiceNetwork, &shape.DeleteServiceNetworkRequest{ServiceNetworkIdentifier: network})
	call(c, c.c.DeleteService, &shape.DeleteServiceRequest{ServiceIdentifier: service})
}
