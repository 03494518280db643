package stories_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/go-cmp/cmp"

	"trellis/test/trellistest"
)

// The race test's size: it runs for raceTime times the soak factor.
const (
	raceClients = 16
	raceNames   = 20
	raceTime    = 5 * time.Second
)

// TestSixteenClientsOverTheSameNamesKeepTheInvariants lets clients create, update, connect and delete resources of
// the same few names, and then looks whether names are unique, no reference dangles, counts equal lists, and what the
// replica shows equals what a fresh start reads from etcd.
func TestSixteenClientsOverTheSameNamesKeepTheInvariants(t *testing.T) {
	t.Parallel()
	program := trellistest.Build(t)
	dir := t.TempDir()
	start := func() (*trellistest.Process, *vpclattice.Client) {
		p := trellistest.Start(t, program, "serve", "--data-dir", dir, "--deregistration-delay", "0s",
			"--quotas", "serviceNetworksPerRegion=1000")
		return p, client(t, p.API, filepath.Join(dir, "credentials"))
	}
	p, c := start()
	ctx, cancel := context.WithTimeout(t.Context(), raceTime*time.Duration(soakFactor(t)))
	defer cancel()
	var running sync.WaitGroup
	for range raceClients {
		running.Go(func() {
			for ctx.Err() == nil {
				// A call that timed out could change something after the rest has been checked, so none does.
				if err := anyCall(t.Context(), c); err != nil && !isExpected(err) {
					t.Error(err)
					return
				}
			}
		})
	}
	running.Wait()

	before := dump(t, c)
	checkInvariants(t, c, before)
	p.Stop()
	_, c = start()
	if diff := cmp.Diff(before, dump(t, c)); diff != "" {
		t.Errorf("the replica differed from etcd (-replica +etcd):\n%s", diff)
	}
}

// isExpected reports whether clients that work on the same names must expect an error.
func isExpected(err error) bool {
	return errors.As(err, new(*types.ConflictException)) || errors.As(err, new(*types.ResourceNotFoundException)) ||
		errors.As(err, new(*types.ServiceQuotaExceededException))
}

// anyCall makes one of many calls on one of the names.
func anyCall(ctx context.Context, c *vpclattice.Client) error {
	name := fmt.Sprintf("name-%d", rand.IntN(raceNames))
	group, service, network := pick(ctx, c, name)
	switch rand.IntN(12) {
	case 0, 1:
		_, err := c.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{
			Name: &name, Type: types.TargetGroupTypeIp,
			Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: aws.Int32(1), VpcIdentifier: aws.String("vpc-0123456789abcdef0")},
		})
		return err
	case 2:
		_, err := c.CreateService(ctx, &vpclattice.CreateServiceInput{Name: &name})
		return err
	case 3:
		_, err := c.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: &name})
		return err
	case 4:
		_, err := c.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
			ServiceIdentifier: orNone(service, "svc-"), ServiceNetworkIdentifier: orNone(network, "sn-")})
		return err
	case 5:
		_, err := c.CreateListener(ctx, &vpclattice.CreateListenerInput{
			ServiceIdentifier: orNone(service, "svc-"), Name: &name, Protocol: types.ListenerProtocolHttp, Port: aws.Int32(80),
			DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{
				TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: orNone(group, "tg-")}}}},
		})
		return err
	case 6:
		_, err := c.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{
			TargetGroupIdentifier: orNone(group, "tg-"), Targets: []types.Target{{Id: aws.String("127.0.0.1"), Port: aws.Int32(int32(1 + rand.IntN(3)))}}})
		return err
	case 7:
		_, err := c.DeregisterTargets(ctx, &vpclattice.DeregisterTargetsInput{
			TargetGroupIdentifier: orNone(group, "tg-"), Targets: []types.Target{{Id: aws.String("127.0.0.1"), Port: aws.Int32(int32(1 + rand.IntN(3)))}}})
		return err
	case 8:
		_, err := c.DeleteTargetGroup(ctx, &vpclattice.DeleteTargetGroupInput{TargetGroupIdentifier: orNone(group, "tg-")})
		return err
	case 9:
		associations, err := c.ListServiceNetworkServiceAssociations(ctx, &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceIdentifier: orNone(service, "svc-")})
		if err != nil || len(associations.Items) == 0 {
			return err
		}
		_, err = c.DeleteServiceNetworkServiceAssociation(ctx, &vpclattice.DeleteServiceNetworkServiceAssociationInput{
			ServiceNetworkServiceAssociationIdentifier: associations.Items[0].Id})
		return err
	case 10:
		_, err := c.DeleteService(ctx, &vpclattice.DeleteServiceInput{ServiceIdentifier: orNone(service, "svc-")})
		return err
	default:
		_, err := c.DeleteServiceNetwork(ctx, &vpclattice.DeleteServiceNetworkInput{ServiceNetworkIdentifier: orNone(network, "sn-")})
		return err
	}
}

// pick returns a target group of the name, and any service and network: these meet by chance.
func pick(ctx context.Context, c *vpclattice.Client, name string) (group, service, network *string) {
	if out, err := c.ListTargetGroups(ctx, &vpclattice.ListTargetGroupsInput{}); err == nil {
		for _, g := range out.Items {
			if *g.Name == name {
				group = g.Id
			}
		}
	}
	if out, err := c.ListServices(ctx, &vpclattice.ListServicesInput{}); err == nil && len(out.Items) > 0 {
		service = out.Items[rand.IntN(len(out.Items))].Id
	}
	if out, err := c.ListServiceNetworks(ctx, &vpclattice.ListServiceNetworksInput{}); err == nil && len(out.Items) > 0 {
		network = out.Items[rand.IntN(len(out.Items))].Id
	}
	return group, service, network
}

// orNone returns an id, or one that does not exist.
func orNone(id *string, prefix string) *string {
	if id != nil {
		return id
	}
	return aws.String(prefix + "00000000000000000")
}

// state is everything that the API shows, by kind and id, as JSON.
type state map[string]map[string]string

func (s state) add(t *testing.T, kind, id string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if s[kind] == nil {
		s[kind] = map[string]string{}
	}
	s[kind][id] = string(text)
}

// dump reads everything.
func dump(t *testing.T, c *vpclattice.Client) state {
	t.Helper()
	ctx := t.Context()
	s := state{}
	for _, group := range must(c.ListTargetGroups(ctx, &vpclattice.ListTargetGroupsInput{}))(t).Items {
		got := must(c.GetTargetGroup(ctx, &vpclattice.GetTargetGroupInput{TargetGroupIdentifier: group.Id}))(t)
		got.ResultMetadata = middleware.Metadata{}
		s.add(t, "targetgroup", *group.Id, got)
		for _, target := range must(c.ListTargets(ctx, &vpclattice.ListTargetsInput{TargetGroupIdentifier: group.Id}))(t).Items {
			// The status is what this node found, not a record.
			target.Status, target.ReasonCode = "", nil
			s.add(t, "target", fmt.Sprintf("%s/%s:%d", *group.Id, *target.Id, *target.Port), target)
		}
	}
	for _, network := range must(c.ListServiceNetworks(ctx, &vpclattice.ListServiceNetworksInput{}))(t).Items {
		s.add(t, "servicenetwork", *network.Id, network)
	}
	for _, service := range must(c.ListServices(ctx, &vpclattice.ListServicesInput{}))(t).Items {
		s.add(t, "service", *service.Id, service)
		for _, a := range must(c.ListServiceNetworkServiceAssociations(ctx, &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceIdentifier: service.Id}))(t).Items {
			s.add(t, "association", *a.Id, a)
		}
		for _, listener := range must(c.ListListeners(ctx, &vpclattice.ListListenersInput{ServiceIdentifier: service.Id}))(t).Items {
			s.add(t, "listener", *listener.Id, listener)
			for _, rule := range must(c.ListRules(ctx, &vpclattice.ListRulesInput{ServiceIdentifier: service.Id, ListenerIdentifier: listener.Id}))(t).Items {
				got := must(c.GetRule(ctx, &vpclattice.GetRuleInput{ServiceIdentifier: service.Id, ListenerIdentifier: listener.Id, RuleIdentifier: rule.Id}))(t)
				got.ResultMetadata = middleware.Metadata{}
				s.add(t, "rule", *rule.Id, got)
			}
		}
	}
	return s
}

// checkInvariants looks for states that concurrent clients must not be able to cause.
func checkInvariants(t *testing.T, c *vpclattice.Client, s state) {
	t.Helper()
	ctx := t.Context()
	var names []string
	for id := range s["targetgroup"] {
		group := must(c.GetTargetGroup(ctx, &vpclattice.GetTargetGroupInput{TargetGroupIdentifier: &id}))(t)
		names = append(names, "targetgroup "+*group.Name)
		if len(group.ServiceArns) > 1 {
			t.Errorf("target group %s is used by the services %v", id, group.ServiceArns)
		}
	}
	services, associations := map[string]int{}, map[string]int{}
	for _, service := range must(c.ListServices(ctx, &vpclattice.ListServicesInput{}))(t).Items {
		names = append(names, "service "+*service.Name)
		services[*service.Id]++
		for _, a := range must(c.ListServiceNetworkServiceAssociations(ctx, &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceIdentifier: service.Id}))(t).Items {
			associations[*a.ServiceNetworkId]++
			if s["servicenetwork"][*a.ServiceNetworkId] == "" {
				t.Errorf("association %s leads to %s, which does not exist", *a.Id, *a.ServiceNetworkId)
			}
		}
		for _, listener := range must(c.ListListeners(ctx, &vpclattice.ListListenersInput{ServiceIdentifier: service.Id}))(t).Items {
			got := must(c.GetListener(ctx, &vpclattice.GetListenerInput{ServiceIdentifier: service.Id, ListenerIdentifier: listener.Id}))(t)
			forward, ok := got.DefaultAction.(*types.RuleActionMemberForward)
			if !ok {
				continue
			}
			for _, weighted := range forward.Value.TargetGroups {
				if s["targetgroup"][*weighted.TargetGroupIdentifier] == "" {
					t.Errorf("listener %s forwards to %s, which does not exist", *listener.Id, *weighted.TargetGroupIdentifier)
				}
			}
		}
	}
	for _, network := range must(c.ListServiceNetworks(ctx, &vpclattice.ListServiceNetworksInput{}))(t).Items {
		names = append(names, "servicenetwork "+*network.Name)
		if int(*network.NumberOfAssociatedServices) != associations[*network.Id] {
			t.Errorf("network %s counts %d services and lists %d", *network.Id, *network.NumberOfAssociatedServices, associations[*network.Id])
		}
	}
	slices.Sort(names)
	if unique := slices.Compact(slices.Clone(names)); len(unique) != len(names) {
		t.Errorf("names are not unique: %v", names)
	}
	t.Logf("%d records of %d kinds", len(names), len(s))
}
