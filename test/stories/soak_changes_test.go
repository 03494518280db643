package stories_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

const (
	// soakRules is how many paths sometimes have a rule; any rule or none may answer requests for them.
	soakRules = 5
	// maxComing bounds the targets of a group that come and go.
	maxComing = 2
	// longAfter is when the last request to a deregistered target must be over, however slow everything is.
	longAfter = 20 * time.Second
)

// soakChange is a kind of change. make returns false if nothing can be changed in that way now.
type soakChange struct {
	name  string
	make  func(t *testing.T) bool
	count int
}

// soakListener is a listener of the service whose listeners come and go.
type soakListener struct {
	id   string
	port int32
}

func (s *soak) kindsOfChanges() []*soakChange {
	return []*soakChange{
		{name: "weights", make: s.changeWeights},
		{name: "rule created", make: s.createRule},
		{name: "rule changed", make: s.updateRule},
		{name: "rule moved", make: s.moveRule},
		{name: "rule deleted", make: s.deleteRule},
		{name: "target registered", make: s.registerTarget},
		{name: "target deregistered", make: s.deregisterTarget},
		{name: "listener created", make: s.createChurned},
		{name: "listener deleted", make: s.deleteChurned},
		{name: "certificate replaced", make: s.replaceCertificate},
		{name: "certificate of the service changed", make: s.chooseCertificate},
	}
}

func (s *soak) changeWeights(t *testing.T) bool {
	service := []*soakService{s.web, s.second, s.remote, s.sealed}[rand.IntN(4)]
	must(s.api.UpdateListener(t.Context(), &vpclattice.UpdateListenerInput{
		ServiceIdentifier: &service.id, ListenerIdentifier: &service.listeners[rand.IntN(len(service.listeners))], DefaultAction: service.share(),
	}))(t)
	return true
}

// The rules are those of the first service's first listener.

func (s *soak) createRule(t *testing.T) bool {
	for _, priority := range rand.Perm(soakRules) {
		if s.rules[priority+1] == "" {
			priority++
			s.rules[priority] = *must(s.api.CreateRule(t.Context(), &vpclattice.CreateRuleInput{
				ServiceIdentifier: &s.web.id, ListenerIdentifier: &s.web.listeners[0], Name: aws.String("path-" + strconv.FormatUint(rand.Uint64(), 36)),
				Priority: aws.Int32(int32(priority)), Match: pathPrefix(fmt.Sprintf("/rule-%d", priority)), Action: s.web.share(),
			}))(t).Id
			return true
		}
	}
	return false
}

func (s *soak) updateRule(t *testing.T) bool {
	for _, id := range s.rules { // Go's maps have a random order
		must(s.api.UpdateRule(t.Context(), &vpclattice.UpdateRuleInput{
			ServiceIdentifier: &s.web.id, ListenerIdentifier: &s.web.listeners[0], RuleIdentifier: &id, Action: s.web.share(),
		}))(t)
		return true
	}
	return false
}

// moveRule gives a rule another priority, and the rule that has that one, if there is one, its own.
func (s *soak) moveRule(t *testing.T) bool {
	for a, id := range s.rules {
		b := 1 + (a+rand.IntN(soakRules-1))%soakRules
		updates := []types.RuleUpdate{{RuleIdentifier: &id, Priority: aws.Int32(int32(b))}}
		other, exists := s.rules[b]
		if exists {
			updates = append(updates, types.RuleUpdate{RuleIdentifier: &other, Priority: aws.Int32(int32(a))})
		}
		must(s.api.BatchUpdateRule(t.Context(), &vpclattice.BatchUpdateRuleInput{
			ServiceIdentifier: &s.web.id, ListenerIdentifier: &s.web.listeners[0], Rules: updates,
		}))(t)
		delete(s.rules, a)
		s.rules[b] = id
		if exists {
			s.rules[a] = other
		}
		return true
	}
	return false
}

func (s *soak) deleteRule(t *testing.T) bool {
	for priority, id := range s.rules {
		must(s.api.DeleteRule(t.Context(), &vpclattice.DeleteRuleInput{
			ServiceIdentifier: &s.web.id, ListenerIdentifier: &s.web.listeners[0], RuleIdentifier: &id,
		}))(t)
		delete(s.rules, priority)
		return true
	}
	return false
}

// group returns any target group, of any protocol, that has from least to most targets that come and go.
func (s *soak) group(least, most int) *soakGroup {
	groups := slices.Concat(s.web.groups, s.second.groups, s.remote.groups, s.sealed.groups)
	for _, i := range rand.Perm(len(groups)) {
		if n := len(groups[i].coming); least <= n && n <= most {
			return groups[i]
		}
	}
	return nil
}

func (s *soak) registerTarget(t *testing.T) bool {
	group := s.group(0, maxComing-1)
	if group == nil {
		return false
	}
	b := group.start(t)
	s.register(t, group, b)
	group.coming = append(group.coming, b)
	return true
}

// deregisterTarget deregisters a target, which then drains. Long after that it must not get a request.
func (s *soak) deregisterTarget(t *testing.T) bool {
	group := s.group(1, maxComing)
	if group == nil {
		return false
	}
	b := group.coming[0]
	group.coming = group.coming[1:]
	must(s.api.DeregisterTargets(t.Context(), &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &group.id, Targets: targets(b.port)}))(t)
	time.AfterFunc(longAfter, func() { b.drained.Store(true) })
	s.drained = append(s.drained, b)
	return true
}

// createChurned creates a listener on a new port, or on one that others have too; it must answer at once.
func (s *soak) createChurned(t *testing.T) bool {
	if s.churn.id != "" {
		return false
	}
	if s.churn.port = 81; rand.IntN(2) == 0 {
		s.churn.port = 443
	}
	protocol := map[int32]types.ListenerProtocol{81: types.ListenerProtocolHttp, 443: types.ListenerProtocolHttps}[s.churn.port]
	s.churn.id = s.createListener(t, s.churned, protocol, s.churn.port)
	c := s.churnedClient()
	defer c.close()
	if err := c.get("/", greeting); err != nil {
		t.Errorf("a listener on port %d that was just created, at %s: %v", s.churn.port, time.Now().Format(time.StampMilli), err)
	}
	return true
}

// deleteChurned deletes the listener, which must no longer answer.
func (s *soak) deleteChurned(t *testing.T) bool {
	if s.churn.id == "" {
		return false
	}
	must(s.api.DeleteListener(t.Context(), &vpclattice.DeleteListenerInput{ServiceIdentifier: &s.churned.id, ListenerIdentifier: &s.churn.id}))(t)
	s.churn.id = ""
	c := s.churnedClient()
	defer c.close()
	if c.get("/", greeting) == nil {
		t.Errorf("a listener on port %d that was just deleted, at %s, answers", s.churn.port, time.Now().Format(time.StampMilli))
	}
	return true
}

func (s *soak) churnedClient() *keptClient {
	if s.churn.port == 443 {
		return &keptClient{host: s.churned.host, dial: dialTLS(local(s.httpsPort), s.churned.host)}
	}
	return &keptClient{host: s.churned.host, dial: dialTCP(local(s.churnPort))}
}

// replaceCertificate replaces a certificate in the inventory.
func (s *soak) replaceCertificate(t *testing.T) bool {
	s.inventory.replace(t, rand.IntN(len(inventoryARNs)))
	return true
}

func (s *soak) chooseCertificate(t *testing.T) bool {
	must(s.api.UpdateService(t.Context(), &vpclattice.UpdateServiceInput{
		ServiceIdentifier: &s.web.id, CertificateArn: aws.String(inventoryARNs[rand.IntN(len(inventoryARNs))]),
	}))(t)
	return true
}
