package clients_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// controller makes the calls of the AWS Gateway API Controller for Kubernetes: it finds its resources again by
// lists, names and tags, compares whole structures, and tries again later when something is in progress.
type controller struct {
	client  *vpclattice.Client
	account string

	mu        sync.Mutex // mu guards mutations.
	mutations []string   // the operations called that change something
}

const (
	controllerVPC = "vpc-0123456789abcdef0"
	managedByKey  = "application-networking.k8s.aws/ManagedBy"
	managedBy     = "999988887777/cluster/" + controllerVPC
	networkName   = "my-hotel"
)

// route is an HTTPRoute, a GRPCRoute or a TLSRoute: it becomes a service.
type route struct {
	name, customDomain string
	protocol           types.ListenerProtocol
	port               int32
	rules              []routeRule // in order of priority; of a TLSRoute, one without a match
}

// routeRule is one match of a route. Without backends it stands for one with a reference that leads nowhere.
type routeRule struct {
	match    types.HttpMatch
	backends []backend
}

// backend is a Kubernetes service: it becomes a target group of the route.
type backend struct {
	name    string
	weight  int32
	targets []types.Target
	// protocol and version are those of the target group, the version empty for TCP.
	protocol types.TargetGroupProtocol
	version  types.TargetGroupProtocolVersion
}

// errLater asks for another reconciliation, as the controller does when something is in progress.
var errLater = errors.New("in progress, to be reconciled again")

func newController(c *vpclattice.Client, account string) *controller {
	k := &controller{account: account}
	k.client = recording(c, func(operation string) {
		if !strings.HasPrefix(operation, "Get") && !strings.HasPrefix(operation, "List") {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.mutations = append(k.mutations, operation)
		}
	})
	return k
}

// takeMutations returns the operations that have changed something since the last time.
func (k *controller) takeMutations() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	taken := k.mutations
	k.mutations = nil
	return taken
}

// untilDone reconciles until nothing is in progress any more.
func untilDone(t *testing.T, what string, reconcile func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for {
		err := reconcile(ctx)
		switch {
		case err == nil:
			return
		case !isInProgress(err):
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: still %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// isInProgress reports whether the controller would succeed if it tried again: the refusal is about a status, or something
// has been deleted between two calls.
func isInProgress(err error) bool {
	conflict, ok := errors.AsType[*types.ConflictException](err)
	return errors.Is(err, errLater) || isNotFound(err) || ok && strings.Contains(*conflict.Message, "_IN_PROGRESS")
}

// reconcile creates what a route asks for.
func (k *controller) reconcile(ctx context.Context, r route) error {
	groups := map[string]string{} // the ids by the names of the backends
	for _, rule := range r.rules {
		for _, b := range rule.backends {
			id, err := k.upsertTargetGroup(ctx, r, b)
			if err != nil {
				return fmt.Errorf("target group %s: %w", b.name, err)
			}
			if err := k.reconcileTargets(ctx, id, b.targets); err != nil {
				return fmt.Errorf("targets of %s: %w", b.name, err)
			}
			groups[b.name] = id
		}
	}
	service, err := k.upsertService(ctx, r)
	if err != nil {
		return fmt.Errorf("service %s: %w", r.name, err)
	}
	listener, err := k.upsertListener(ctx, service, r, groups)
	if err != nil {
		return fmt.Errorf("listener of %s: %w", r.name, err)
	}
	if r.protocol != types.ListenerProtocolTlsPassthrough {
		if err := k.reconcileRules(ctx, service, listener, r, groups); err != nil {
			return fmt.Errorf("rules of %s: %w", r.name, err)
		}
	}
	return k.collectGarbage(ctx, r, slices.Collect(maps.Values(groups)))
}

// upsertTargetGroup finds the target group by its tags and its immutable members, and corrects its health check.
func (k *controller) upsertTargetGroup(ctx context.Context, r route, b backend) (id string, err error) {
	tags := targetGroupTags(r, b)
	summaries, err := k.targetGroups(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range summaries {
		found, err := k.client.ListTagsForResource(ctx, &vpclattice.ListTagsForResourceInput{ResourceArn: s.Arn})
		if err != nil {
			return "", err
		}
		if !maps.Equal(found.Tags, tags) || aws.ToInt32(s.Port) != 8080 || s.Protocol != b.protocol || s.Type != types.TargetGroupTypeIp ||
			s.IpAddressType != types.IpAddressTypeIpv4 || aws.ToString(s.VpcIdentifier) != controllerVPC {
			continue
		}
		switch s.Status {
		case types.TargetGroupStatusActive:
			return *s.Id, k.correctHealthCheck(ctx, *s.Id, b)
		case types.TargetGroupStatusCreateFailed:
		default:
			return "", errLater
		}
	}
	created, err := k.client.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{
		Name: aws.String(fmt.Sprintf("k8s-%s-%s-%d", b.name, r.name, time.Now().UnixNano())), Type: types.TargetGroupTypeIp, Tags: tags,
		Config: &types.TargetGroupConfig{
			Port: aws.Int32(8080), Protocol: b.protocol, ProtocolVersion: b.version, IpAddressType: types.IpAddressTypeIpv4, VpcIdentifier: aws.String(controllerVPC),
		},
	})
	if err != nil {
		return "", err
	}
	return *created.Id, nil
}

func (k *controller) correctHealthCheck(ctx context.Context, id string, b backend) error {
	group, err := k.client.GetTargetGroup(ctx, &vpclattice.GetTargetGroupInput{TargetGroupIdentifier: &id})
	if err != nil {
		return err
	}
	want := defaultHealthCheck(b)
	if reflect.DeepEqual(want, group.Config.HealthCheck) {
		return nil
	}
	_, err = k.client.UpdateTargetGroup(ctx, &vpclattice.UpdateTargetGroupInput{TargetGroupIdentifier: &id, HealthCheck: want})
	return err
}

// defaultHealthCheck is what the controller considers the defaults.
func defaultHealthCheck(b backend) *types.HealthCheckConfig {
	if b.protocol == types.TargetGroupProtocolTcp {
		return &types.HealthCheckConfig{Enabled: aws.Bool(false)}
	}
	version := types.HealthCheckProtocolVersion(b.version)
	if b.version == types.TargetGroupProtocolVersionGrpc {
		version = types.HealthCheckProtocolVersionHttp1
	}
	return &types.HealthCheckConfig{
		Enabled: aws.Bool(b.version == types.TargetGroupProtocolVersionHttp1), Protocol: types.TargetGroupProtocolHttp, ProtocolVersion: version,
		Path: aws.String("/"), Matcher: &types.MatcherMemberHttpCode{Value: "200"},
		HealthCheckIntervalSeconds: aws.Int32(30), HealthCheckTimeoutSeconds: aws.Int32(5),
		HealthyThresholdCount: aws.Int32(5), UnhealthyThresholdCount: aws.Int32(2),
	}
}

func targetGroupTags(r route, b backend) map[string]string {
	return map[string]string{
		managedByKey: managedBy, "application-networking.k8s.aws/RouteName": r.name, "application-networking.k8s.aws/ServiceName": b.name,
		"application-networking.k8s.aws/ProtocolVersion": string(b.version),
	}
}

func (k *controller) targetGroups(ctx context.Context) (all []types.TargetGroupSummary, err error) {
	paginator := vpclattice.NewListTargetGroupsPaginator(k.client, &vpclattice.ListTargetGroupsInput{VpcIdentifier: aws.String(controllerVPC)})
	for paginator.HasMorePages() {
		page, err := paginator.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
	}
	return all, nil
}

func (k *controller) targets(ctx context.Context, group string) (all []types.TargetSummary, err error) {
	paginator := vpclattice.NewListTargetsPaginator(k.client, &vpclattice.ListTargetsInput{TargetGroupIdentifier: &group})
	for paginator.HasMorePages() {
		page, err := paginator.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
	}
	return all, nil
}

// reconcileTargets registers and deregisters endpoints. The controller registers existing ones again, too, and only reads
// the list to find out which ones to remove. Here only new ones are registered, to show that the list has the others.
func (k *controller) reconcileTargets(ctx context.Context, group string, want []types.Target) error {
	registered, err := k.targets(ctx, group)
	if err != nil {
		return err
	}
	same := func(t types.Target, s types.TargetSummary) bool {
		return *t.Id == *s.Id && *t.Port == *s.Port && s.Status != types.TargetStatusDraining
	}
	var add, remove []types.Target
	for _, t := range want {
		if !slices.ContainsFunc(registered, func(s types.TargetSummary) bool { return same(t, s) }) {
			add = append(add, t)
		}
	}
	for _, s := range registered {
		if s.Status != types.TargetStatusDraining && !slices.ContainsFunc(want, func(t types.Target) bool { return same(t, s) }) {
			remove = append(remove, types.Target{Id: s.Id, Port: s.Port})
		}
	}
	if len(add) > 0 {
		out, err := k.client.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group, Targets: add})
		if err != nil || len(out.Unsuccessful) > 0 {
			return fmt.Errorf("registering %v: %w", add, errors.Join(err))
		}
	}
	if len(remove) > 0 {
		out, err := k.client.DeregisterTargets(ctx, &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &group, Targets: remove})
		if err != nil || len(out.Unsuccessful) > 0 {
			return fmt.Errorf("deregistering %v: %w", remove, errors.Join(err))
		}
	}
	return nil
}

// upsertService finds the service by its name and its tags, and associates it with the service network.
func (k *controller) upsertService(ctx context.Context, r route) (id string, err error) {
	service, err := k.findService(ctx, r.name)
	if err != nil {
		return "", err
	}
	network, err := k.findNetwork(ctx)
	if err != nil {
		return "", err
	}
	if service == nil {
		in := &vpclattice.CreateServiceInput{Name: &r.name, Tags: map[string]string{managedByKey: managedBy}}
		if r.customDomain != "" {
			in.CustomDomainName = &r.customDomain
		}
		created, err := k.client.CreateService(ctx, in)
		if err != nil {
			return "", err
		}
		return *created.Id, k.associate(ctx, *created.Id, *network.Id)
	}
	tags, err := k.client.ListTagsForResource(ctx, &vpclattice.ListTagsForResourceInput{ResourceArn: service.Arn})
	if err != nil || tags.Tags[managedByKey] != managedBy {
		return "", fmt.Errorf("the tags of the service are %v: %w", tags, errors.Join(err))
	}
	associations, err := k.client.ListServiceNetworkServiceAssociations(ctx, &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceIdentifier: service.Id})
	if err != nil {
		return "", err
	}
	switch {
	case len(associations.Items) == 0:
		return *service.Id, k.associate(ctx, *service.Id, *network.Id)
	case associations.Items[0].Status == types.ServiceNetworkServiceAssociationStatusDeleteInProgress:
		return "", errLater
	}
	return *service.Id, nil
}

func (k *controller) findService(ctx context.Context, name string) (*types.ServiceSummary, error) {
	paginator := vpclattice.NewListServicesPaginator(k.client, &vpclattice.ListServicesInput{})
	for paginator.HasMorePages() {
		page, err := paginator.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(page.Items, func(s types.ServiceSummary) bool { return *s.Name == name }); i >= 0 {
			return &page.Items[i], nil
		}
	}
	return nil, nil
}

// findNetwork finds the service network by its name, or its id; more than one would be an error.
func (k *controller) findNetwork(ctx context.Context) (*types.ServiceNetworkSummary, error) {
	out, err := k.client.ListServiceNetworks(ctx, &vpclattice.ListServiceNetworksInput{})
	if err != nil {
		return nil, err
	}
	matches := slices.DeleteFunc(out.Items, func(n types.ServiceNetworkSummary) bool { return *n.Name != networkName })
	if len(matches) != 1 {
		return nil, fmt.Errorf("%d service networks are called %s", len(matches), networkName)
	}
	return &matches[0], nil
}

func (k *controller) associate(ctx context.Context, service, network string) error {
	out, err := k.client.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: &service, ServiceNetworkIdentifier: &network, Tags: map[string]string{managedByKey: managedBy},
	})
	if err != nil {
		return err
	}
	if out.Status != types.ServiceNetworkServiceAssociationStatusActive {
		return errLater
	}
	return nil
}

// upsertListener finds the listener by its port. Only that of a TLSRoute has an action that can change.
func (k *controller) upsertListener(ctx context.Context, service string, r route, groups map[string]string) (id string, err error) {
	listeners, err := k.client.ListListeners(ctx, &vpclattice.ListListenersInput{ServiceIdentifier: &service})
	if err != nil {
		return "", err
	}
	var action types.RuleAction = &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: aws.Int32(404)}}
	if r.protocol == types.ListenerProtocolTlsPassthrough {
		action = ruleAction(r.rules[0], groups)
	}
	for _, l := range listeners.Items {
		if *l.Port != r.port {
			continue
		}
		if r.protocol != types.ListenerProtocolTlsPassthrough {
			return *l.Id, nil
		}
		found, err := k.client.GetListener(ctx, &vpclattice.GetListenerInput{ServiceIdentifier: &service, ListenerIdentifier: l.Id})
		if err != nil || reflect.DeepEqual(action, found.DefaultAction) {
			return *l.Id, err
		}
		_, err = k.client.UpdateListener(ctx, &vpclattice.UpdateListenerInput{ServiceIdentifier: &service, ListenerIdentifier: l.Id, DefaultAction: action})
		return *l.Id, err
	}
	created, err := k.client.CreateListener(ctx, &vpclattice.CreateListenerInput{
		ServiceIdentifier: &service, Name: aws.String(fmt.Sprintf("%s-%d", r.name, r.port)), Port: &r.port, Protocol: r.protocol, DefaultAction: action,
		Tags: map[string]string{managedByKey: managedBy},
	})
	if err != nil {
		return "", err
	}
	return *created.Id, nil
}
