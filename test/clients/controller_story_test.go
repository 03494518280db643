package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// gatewayController makes the Gateway API controller work on routes, with resources that take time and with ones that take
// none.
func (e environment) gatewayController(t *testing.T) {
	t.Parallel()
	const account = "999988887777"
	for _, delay := range []string{"0s", "1s"} {
		t.Run("WithLifecycleDelay"+delay, func(t *testing.T) {
			t.Parallel()
			p := trellistest.Start(t, e.trellis, "dev", "--lifecycle-delay", delay, "--deregistration-delay", "1s",
				"--port-map", fmt.Sprintf("80=%d,443=%d,8443=%d", trellistest.FreePort(t), trellistest.FreePort(t), trellistest.FreePort(t)))
			k := newController(devClient(t, p, account), account)
			k.story(t)
			k.accessLogs(t)
			k.authPolicies(t)
			if delay != "0s" {
				k.associateTwice(t)
			}
		})
	}
}

// http1 is a backend with pods on which nobody listens.
func http1(name string, weight int32, pods ...string) backend {
	b := backend{name: name, weight: weight, protocol: types.TargetGroupProtocolHttp, version: types.TargetGroupProtocolVersionHttp1}
	for _, pod := range pods {
		b.targets = append(b.targets, types.Target{Id: aws.String(pod), Port: aws.Int32(1)})
	}
	return b
}

func withPath(prefix string) *types.PathMatch {
	return &types.PathMatch{CaseSensitive: aws.Bool(true), Match: &types.PathMatchTypeMemberPrefix{Value: prefix}}
}

func (k *controller) story(t *testing.T) {
	k.createNetwork(t)
	httpRoute := route{
		name: "parking-default", protocol: types.ListenerProtocolHttp, port: 80,
		rules: []routeRule{
			{match: types.HttpMatch{PathMatch: withPath("/parking"), HeaderMatches: []types.HeaderMatch{
				{Name: aws.String("x-version"), CaseSensitive: aws.Bool(false), Match: &types.HeaderMatchTypeMemberExact{Value: "v2"}},
			}}, backends: []backend{http1("parking", 90, "127.77.0.1", "127.77.0.2"), http1("parking-canary", 10, "127.77.0.3")}},
			{match: types.HttpMatch{Method: aws.String("POST"), PathMatch: withPath("/review")}, backends: []backend{http1("review", 1, "127.77.0.4")}},
			{match: types.HttpMatch{PathMatch: withPath("/nowhere")}},
			{match: types.HttpMatch{PathMatch: withPath("/")}, backends: []backend{
				{name: "secure", weight: 1, protocol: types.TargetGroupProtocolHttps, version: types.TargetGroupProtocolVersionHttp1},
			}},
		},
	}
	grpcRoute := route{
		name: "greeter-default", protocol: types.ListenerProtocolHttps, port: 443,
		rules: []routeRule{{
			match: types.HttpMatch{Method: aws.String("POST"), PathMatch: &types.PathMatch{
				CaseSensitive: aws.Bool(true), Match: &types.PathMatchTypeMemberExact{Value: "/helloworld.Greeter/SayHello"},
			}},
			backends: []backend{
				{name: "greeter", weight: 1, protocol: types.TargetGroupProtocolHttp, version: types.TargetGroupProtocolVersionGrpc},
				{name: "greeter-h2", weight: 1, protocol: types.TargetGroupProtocolHttp, version: types.TargetGroupProtocolVersionHttp2},
			},
		}},
	}
	tlsRoute := route{
		name: "passthrough-default", protocol: types.ListenerProtocolTlsPassthrough, port: 8443, customDomain: "nginx-test.my-test.com",
		rules: []routeRule{{backends: []backend{{name: "nginx", weight: 1, protocol: types.TargetGroupProtocolTcp}}}},
	}
	routes := []*route{&httpRoute, &grpcRoute, &tlsRoute}
	for _, r := range routes {
		untilDone(t, "creating "+r.name, func(ctx context.Context) error { return k.reconcile(ctx, *r) })
		// The controller changes once what is not as it wants it.
		untilDone(t, "correcting "+r.name, func(ctx context.Context) error { return k.reconcile(ctx, *r) })
	}
	k.expectSteadyState(t, routes)

	// The first rules swap their places. The priorities are a permutation of what they were.
	httpRoute.rules[0], httpRoute.rules[1], httpRoute.rules[2] = httpRoute.rules[2], httpRoute.rules[0], httpRoute.rules[1]
	k.expectMutations(t, httpRoute, "BatchUpdateRule")
	k.expectSteadyState(t, routes)

	// A canary gets more traffic, and other pods come.
	httpRoute.rules[1].backends = []backend{http1("parking", 50, "127.77.0.2", "127.77.0.5"), http1("parking-canary", 50, "127.77.0.3")}
	k.expectMutations(t, httpRoute, "DeregisterTargets", "RegisterTargets", "UpdateRule")
	k.expectSteadyState(t, routes)

	// A rule goes. Its target group is not used from this moment, and goes too.
	httpRoute.rules = slices.Delete(httpRoute.rules, 2, 3)
	k.expectMutations(t, httpRoute, "BatchUpdateRule", "DeleteRule", "DeleteTargetGroup", "DeregisterTargets")
	k.expectSteadyState(t, routes)

	for _, r := range routes {
		untilDone(t, "removing "+r.name, func(ctx context.Context) error { return k.remove(ctx, *r) })
	}
	k.removeNetwork(t)
	if groups := must(k.targetGroups(t.Context()))(t); len(groups) > 0 {
		t.Errorf("%d target groups are left", len(groups))
	}
}

// expectMutations reconciles a changed route, and expects the operations that the change needs, each at least once.
func (k *controller) expectMutations(t *testing.T, r route, want ...string) {
	t.Helper()
	k.takeMutations()
	untilDone(t, "changing "+r.name, func(ctx context.Context) error { return k.reconcile(ctx, r) })
	got := k.takeMutations()
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("the change of %s called %v, not %v", r.name, got, want)
	}
}

// expectSteadyState reconciles routes that have not changed: nothing may need an update.
func (k *controller) expectSteadyState(t *testing.T, routes []*route) {
	t.Helper()
	k.takeMutations()
	for _, r := range routes {
		if err := k.reconcile(t.Context(), *r); err != nil {
			t.Errorf("reconciling %s in the steady state: %v", r.name, err)
		}
	}
	if changed := k.takeMutations(); len(changed) > 0 {
		t.Errorf("in the steady state the controller calls %v", changed)
	}
}

// createNetwork creates the default service network, and associates the cluster's VPC with it.
func (k *controller) createNetwork(t *testing.T) {
	t.Helper()
	network := must(k.client.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{
		Name: aws.String(networkName), Tags: map[string]string{managedByKey: managedBy},
	}))(t)
	untilDone(t, "associating the VPC", func(ctx context.Context) error {
		associations, err := k.client.ListServiceNetworkVpcAssociations(ctx, &vpclattice.ListServiceNetworkVpcAssociationsInput{
			ServiceNetworkIdentifier: network.Id, VpcIdentifier: aws.String(controllerVPC),
		})
		if err != nil {
			return err
		}
		if len(associations.Items) > 0 {
			if associations.Items[0].Status != types.ServiceNetworkVpcAssociationStatusActive {
				return errLater
			}
			return nil
		}
		created, err := k.client.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{
			ServiceNetworkIdentifier: network.Id, VpcIdentifier: aws.String(controllerVPC), Tags: map[string]string{managedByKey: managedBy},
		})
		if err != nil || created.Status != types.ServiceNetworkVpcAssociationStatusActive {
			return errors.Join(err, errLater)
		}
		return nil
	})
}

// removeNetwork disassociates the VPC, for which the controller comes again until it is gone, and deletes the network.
func (k *controller) removeNetwork(t *testing.T) {
	t.Helper()
	untilDone(t, "removing the service network", func(ctx context.Context) error {
		network, err := k.findNetwork(ctx)
		if err != nil {
			return err
		}
		associations, err := k.client.ListServiceNetworkVpcAssociations(ctx, &vpclattice.ListServiceNetworkVpcAssociationsInput{
			ServiceNetworkIdentifier: network.Id, VpcIdentifier: aws.String(controllerVPC),
		})
		if err != nil {
			return err
		}
		for _, a := range associations.Items {
			_, err := k.client.DeleteServiceNetworkVpcAssociation(ctx, &vpclattice.DeleteServiceNetworkVpcAssociationInput{
				ServiceNetworkVpcAssociationIdentifier: a.Id,
			})
			return errors.Join(err, errLater)
		}
		_, err = k.client.DeleteServiceNetwork(ctx, &vpclattice.DeleteServiceNetworkInput{ServiceNetworkIdentifier: network.Id})
		return later(err)
	})
}

// associateTwice gets the conflict about an association that is being created, which the controller knows by its text.
func (k *controller) associateTwice(t *testing.T) {
	t.Helper()
	network := must(k.client.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: aws.String("twice")}))(t)
	service := must(k.client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String("twice")}))(t)
	// Each call has an input of its own: the SDK puts a client token into it, with which the second call would be a retry.
	associate := func(ctx context.Context) error {
		_, err := k.client.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
			ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id,
		})
		return err
	}
	untilDone(t, "associating", associate)
	err := associate(t.Context())
	if conflict := refusal[*types.ConflictException](t, err, http.StatusConflict); !strings.Contains(*conflict.Message, "CREATE_IN_PROGRESS") {
		t.Errorf("the controller does not try again after %q", *conflict.Message)
	}
}
