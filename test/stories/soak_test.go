package stories_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// The soak test's size: it makes that many changes times the soak factor.
const (
	soakChanges     = 100
	soakPause       = 80 * time.Millisecond // on average, between changes
	soakCertificate = "arn:aws:acm:us-west-2:123456789012:certificate/12345678-1234-1234-1234-123456789012"
	soakHost        = "soak.example.test"
)

// TestNoRequestFailsWhileTheNetworkChanges sends all kinds of requests, without a pause and without a second try, while
// weights, rules, targets, listeners and certificates change in random order.
func TestNoRequestFailsWhileTheNetworkChanges(t *testing.T) {
	t.Parallel()
	s := newSoak(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	// A change that fails ends the test, but the load must not outlive the backends.
	defer running.Wait()
	defer stop()
	for _, l := range s.loads() {
		running.Go(func() {
			if err := l.run(ctx); err != nil {
				t.Errorf("%s, request %d: %v", l.name, l.requests.Load(), err)
			}
			t.Logf("%6d requests: %s", l.requests.Load(), l.name)
		})
	}
	counts := map[string]int{}
	for n := soakChanges * soakFactor(t); n > 0 && !t.Failed(); n-- {
		change := s.changes[rand.IntN(len(s.changes))]
		change.make(t)
		counts[change.name]++
		time.Sleep(rand.N(2 * soakPause))
	}
	t.Logf("changes: %v", counts)
}

// soak is a network under change: a service on HTTP and HTTPS whose requests two target groups share, and another one
// whose listener comes and goes.
type soak struct {
	api      *vpclattice.Client
	backends []*backend
	// httpPort, httpsPort and churnPort are the bound ports; service and churned the two services.
	httpPort, httpsPort, churnPort int
	service, churned               soakService
	groups                         [2]soakGroup
	rules                          map[int]string // ids, by priority
	churnListener                  string         // its id, or ""
	inventory                      string         // the folder of the inventory's files
	changes                        []soakChange
}

type soakService struct{ id, host, httpListener, httpsListener, group string }

// soakGroup is a target group with one target that stays and others that come and go.
type soakGroup struct {
	id     string
	coming map[int32]bool // whether a port is registered
}

type soakChange struct {
	name string
	make func(t *testing.T)
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	s := &soak{
		rules: map[int]string{}, inventory: t.TempDir(),
		httpPort: trellistest.FreePort(t), httpsPort: trellistest.FreePort(t), churnPort: trellistest.FreePort(t),
	}
	writeInventory(t, s.inventory, soakCertificate, soakHost)
	p := trellistest.Start(t, trellistest.Build(t), "dev", "--deregistration-delay", "1s", "--ca-dir", t.TempDir(),
		"--inventory", filepath.Join(s.inventory, "inventory.yaml"),
		"--port-map", fmt.Sprintf("80=%d,443=%d,81=%d", s.httpPort, s.httpsPort, s.churnPort))
	s.api = anybody(p.API)
	for range 7 {
		s.backends = append(s.backends, startBackend(t))
	}
	ctx := t.Context()
	network := must(s.api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("soak")}))(t)
	for i := range s.groups {
		ports := s.backends[3*i : 3*i+3]
		s.groups[i] = soakGroup{id: s.createGroup(t, fmt.Sprintf("group-%d", i), ports[0]), coming: map[int32]bool{ports[1].port: false, ports[2].port: false}}
	}
	s.service = s.createService(t, "soak", *network.Id, soakHost)
	s.service.httpListener = s.createListener(t, s.service.id, types.ListenerProtocolHttp, 80, s.share(50))
	s.service.httpsListener = s.createListener(t, s.service.id, types.ListenerProtocolHttps, 443, s.share(50))
	s.churned = s.createService(t, "churned", *network.Id, "")
	s.churned.group = s.createGroup(t, "churned", s.backends[6])
	s.changes = []soakChange{
		{"weights", s.changeWeights}, {"rule", s.changeRule}, {"target", s.changeTarget}, {"listener", s.changeListener},
		{"certificate", func(t *testing.T) { writeInventory(t, s.inventory, soakCertificate, soakHost) }},
	}
	return s
}

// anybody returns an SDK client for `trellis dev`, which takes any credentials.
func anybody(api string) *vpclattice.Client {
	return vpclattice.New(vpclattice.Options{
		BaseEndpoint: &api, Region: "us-west-2", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})
}

func (s *soak) createService(t *testing.T, name, network, domain string) soakService {
	t.Helper()
	in := &vpclattice.CreateServiceInput{Name: &name}
	if domain != "" {
		in.CustomDomainName, in.CertificateArn = &domain, aws.String(soakCertificate)
	}
	service := must(s.api.CreateService(t.Context(), in))(t)
	must(s.api.CreateServiceNetworkServiceAssociation(t.Context(), &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: &network,
	}))(t)
	return soakService{id: *service.Id, host: *service.DnsEntry.DomainName}
}

func (s *soak) createGroup(t *testing.T, name string, first *backend) string {
	t.Helper()
	group := must(s.api.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{
		Name: &name, Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{
			Protocol: types.TargetGroupProtocolHttp, Port: aws.Int32(80), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
			HealthCheck: &types.HealthCheckConfig{HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(5)},
		},
	}))(t)
	must(s.api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{
		TargetGroupIdentifier: group.Id, Targets: targets(first.port),
	}))(t)
	return *group.Id
}

func targets(port int32) []types.Target {
	return []types.Target{{Id: aws.String("127.0.0.1"), Port: &port}}
}

func (s *soak) createListener(t *testing.T, service string, protocol types.ListenerProtocol, port int32, action types.RuleAction) string {
	t.Helper()
	return *must(s.api.CreateListener(t.Context(), &vpclattice.CreateListenerInput{
		ServiceIdentifier: &service, Name: aws.String("port-" + strconv.Itoa(int(port))), Protocol: protocol, Port: &port, DefaultAction: action,
	}))(t).Id
}

// share is an action that gives the first group a part of 100.
func (s *soak) share(first int32) types.RuleAction {
	return &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{
		{TargetGroupIdentifier: &s.groups[0].id, Weight: aws.Int32(first)},
		{TargetGroupIdentifier: &s.groups[1].id, Weight: aws.Int32(100 - first)},
	}}}
}

func (s *soak) anyShare() types.RuleAction { return s.share(rand.Int32N(5) * 25) }

func (s *soak) changeWeights(t *testing.T) {
	listener := s.service.httpListener
	if rand.IntN(2) == 0 {
		listener = s.service.httpsListener
	}
	must(s.api.UpdateListener(t.Context(), &vpclattice.UpdateListenerInput{
		ServiceIdentifier: &s.service.id, ListenerIdentifier: &listener, DefaultAction: s.anyShare(),
	}))(t)
}

// soakRules is how many paths have rules now and then; requests for them are answered by any rule or by none.
const soakRules = 5

// changeRule creates, changes, moves or deletes a rule.
func (s *soak) changeRule(t *testing.T) {
	ctx, priority := t.Context(), 1+rand.IntN(soakRules)
	id, exists := s.rules[priority]
	switch other := 1 + rand.IntN(soakRules); {
	case !exists:
		s.rules[priority] = *must(s.api.CreateRule(ctx, &vpclattice.CreateRuleInput{
			ServiceIdentifier: &s.service.id, ListenerIdentifier: &s.service.httpListener, Name: aws.String("path-" + strconv.FormatUint(rand.Uint64(), 36)),
			Priority: aws.Int32(int32(priority)), Match: pathPrefix(fmt.Sprintf("/rule-%d", priority)), Action: s.anyShare(),
		}))(t).Id
	case s.rules[other] != "" && other != priority:
		must(s.api.BatchUpdateRule(ctx, &vpclattice.BatchUpdateRuleInput{
			ServiceIdentifier: &s.service.id, ListenerIdentifier: &s.service.httpListener,
			Rules: []types.RuleUpdate{
				{RuleIdentifier: &id, Priority: aws.Int32(int32(other))},
				{RuleIdentifier: aws.String(s.rules[other]), Priority: aws.Int32(int32(priority))},
			},
		}))(t)
		s.rules[priority], s.rules[other] = s.rules[other], id
	case rand.IntN(2) == 0:
		must(s.api.UpdateRule(ctx, &vpclattice.UpdateRuleInput{
			ServiceIdentifier: &s.service.id, ListenerIdentifier: &s.service.httpListener, RuleIdentifier: &id, Action: s.anyShare(),
		}))(t)
	default:
		must(s.api.DeleteRule(ctx, &vpclattice.DeleteRuleInput{
			ServiceIdentifier: &s.service.id, ListenerIdentifier: &s.service.httpListener, RuleIdentifier: &id,
		}))(t)
		delete(s.rules, priority)
	}
}

// changeTarget registers a target, or deregisters it, which then drains.
func (s *soak) changeTarget(t *testing.T) {
	group := s.groups[rand.IntN(len(s.groups))]
	for port, registered := range group.coming { // Go's maps come in random order.
		if registered {
			must(s.api.DeregisterTargets(t.Context(), &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &group.id, Targets: targets(port)}))(t)
		} else {
			must(s.api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group.id, Targets: targets(port)}))(t)
		}
		group.coming[port] = !registered
		return
	}
}

// changeListener creates the other service's listener, which must answer at once, or deletes it.
func (s *soak) changeListener(t *testing.T) {
	if s.churnListener != "" {
		must(s.api.DeleteListener(t.Context(), &vpclattice.DeleteListenerInput{ServiceIdentifier: &s.churned.id, ListenerIdentifier: &s.churnListener}))(t)
		s.churnListener = ""
		return
	}
	s.churnListener = s.createListener(t, s.churned.id, types.ListenerProtocolHttp, 81, &types.RuleActionMemberForward{Value: types.ForwardAction{
		TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: &s.churned.group}},
	}})
	c := &keptClient{host: s.churned.host, dial: func() (net.Conn, error) { return net.Dial("tcp", local(s.churnPort)) }}
	defer c.close()
	if err := c.get("/", greeting); err != nil {
		t.Errorf("a listener that was just created: %v", err)
	}
}

// loads are the kinds of requests.
func (s *soak) loads() []*load {
	plain := func() (net.Conn, error) { return net.Dial("tcp", local(s.httpPort)) }
	secure := func() (net.Conn, error) { return dialTLS(local(s.httpsPort), s.service.host) }
	custom := func() (net.Conn, error) { return dialTLS(local(s.httpsPort), soakHost) }
	kept := &keptClient{host: s.service.host, dial: plain}
	bodies, chunked, slow := *kept, *kept, *kept
	fresh, keptTLS, freshTLS := *kept, *kept, *kept
	keptTLS.dial, freshTLS.dial = secure, custom
	freshTLS.host = soakHost
	second := newHTTP2Client(local(s.httpsPort), s.service.host)
	anyPath := func() string { return slices.Concat([]string{"/"}, rulePaths())[rand.IntN(soakRules+1)] }
	return []*load{
		{name: "GET, HTTP/1.1, kept connection", one: func() error { return kept.get(anyPath(), greeting) }, end: kept.close},
		{name: "POST with a length, HTTP/1.1", one: func() error { return bodies.echo(randomBytes(1+rand.IntN(100_000)), true) }, end: bodies.close},
		{name: "POST in chunks, HTTP/1.1", one: func() error { return chunked.echo(randomBytes(1+rand.IntN(100_000)), false) }, end: chunked.close},
		{name: "slow reader, HTTP/1.1", one: func() error { return slow.readSlowly("/large", largeBody) }, end: slow.close},
		{name: "GET, HTTP/1.1, new connections", one: func() error { defer fresh.close(); return fresh.get(anyPath(), greeting) }},
		{name: "GET, HTTP/1.1 over TLS, kept connection", one: func() error { return keptTLS.get("/", greeting) }, end: keptTLS.close},
		{name: "GET, HTTP/1.1 over TLS, new connections, custom name", one: func() error { defer freshTLS.close(); return freshTLS.get("/", greeting) }},
		{name: "GET and POST, HTTP/2", one: func() error { return second.getAndPost() }, end: second.close},
	}
}

func rulePaths() []string {
	paths := make([]string, soakRules)
	for i := range paths {
		paths[i] = fmt.Sprintf("/rule-%d/path", i+1)
	}
	return paths
}
