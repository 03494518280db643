package stories_test

import (
	"context"
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

	"trellis/test/trellistest"
)

// The soak test's size, which the soak factor multiplies: it lasts at least so long and makes at least so many changes.
// The process is replaced about once a minute, and once at least.
const (
	soakTime    = 10 * time.Second
	soakChanges = 60
	soakPause   = 60 * time.Millisecond // on average, between changes
	soakHost    = "soak.example.test"
	sealedHost  = "sealed.example.test" // of the TLS that is passed through
)

// TestNoRequestFailsWhileTheNetworkChanges sends all kinds of requests, one after the other and without retries, while
// weights, rules, targets, listeners and certificates change in random order, and while a new process replaces the one that
// serves.
func TestNoRequestFailsWhileTheNetworkChanges(t *testing.T) {
	t.Parallel()
	s := newSoak(t)
	factor := soakFactor(t)
	began := time.Now()
	duration := soakTime * time.Duration(factor)
	loads := s.loads(t)
	ctx, stop := context.WithCancel(t.Context())
	var running, replacing sync.WaitGroup
	// A change that fails ends the test, but the load must not outlive the backends.
	defer running.Wait()
	defer stop()
	for _, l := range loads {
		running.Go(func() {
			if err := l.run(ctx); err != nil {
				t.Errorf("%s at %s, request %d: %v", l.name, time.Now().Format(time.StampMilli), l.requests.Load(), err)
			}
		})
	}
	replacements := 1 + int(duration/time.Minute)
	replacing.Go(func() {
		for i := range replacements {
			select {
			case <-time.After(time.Until(began.Add(duration * time.Duration(i+1) / time.Duration(replacements+1)))):
				s.process.Upgrade()
				t.Logf("the process has been replaced %s after the beginning", time.Since(began).Round(time.Millisecond))
			case <-ctx.Done():
				return
			}
		}
	})
	replaced := make(chan struct{})
	go func() {
		replacing.Wait()
		close(replaced)
	}()
	defer func() { <-replaced }()
	defer stop()
	changes := 0
	for done := false; !t.Failed() && !done; {
		rand.Shuffle(len(s.changes), func(i, j int) { s.changes[i], s.changes[j] = s.changes[j], s.changes[i] })
		for _, change := range s.changes {
			if change.make(t) {
				change.count++
				changes++
				time.Sleep(rand.N(2 * soakPause)) // Sleeps: the pace of changes.
			}
		}
		done = time.Since(began) >= duration && changes >= soakChanges*factor && isClosed(replaced)
	}
	stop()
	running.Wait()
	t.Logf("%d changes in %s, %d replacements of the process", changes, time.Since(began).Round(time.Second), replacements)
	for _, change := range slices.SortedFunc(slices.Values(s.changes), func(a, b *soakChange) int { return b.count - a.count }) {
		t.Logf("%6d times: %s", change.count, change.name)
		if change.count == 0 {
			t.Errorf("no change of the kind %q was made", change.name)
		}
	}
	for _, l := range loads {
		t.Logf("%6d requests: %s", l.requests.Load(), l.name)
		if l.requests.Load() == 0 {
			t.Errorf("no request was made of the kind %q", l.name)
		}
	}
	for _, b := range s.drained {
		if late := b.late.Load(); late > 0 {
			t.Errorf("a target got %d requests long after it was deregistered", late)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// soak is a network under change. Each of its services has two target groups that share the requests, except one,
// whose listeners come and go.
type soak struct {
	process *trellistest.Process
	api     *vpclattice.Client
	network string
	// The bound ports of the listener ports 80, 443 and 81.
	httpPort, httpsPort, churnPort int
	web, second, remote, sealed    *soakService // HTTP/1.1, HTTP/2 and gRPC to the targets, and TLS passed through
	churned                        *soakService
	inventory                      *inventory
	changes                        []*soakChange

	rules   map[int]string // ids, by priority
	churn   soakListener   // without id while there is none
	drained []*backend     // were targets
}

type soakService struct {
	id, host  string
	groups    []*soakGroup
	listeners []string // ids
}

// soakGroup is a target group with one target that stays and others that come and go.
type soakGroup struct {
	id     string
	start  func(t *testing.T) *backend
	coming []*backend
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	dir := t.TempDir()
	s := &soak{
		rules: map[int]string{}, inventory: newInventory(t, soakHost),
		httpPort: trellistest.FreePort(t), httpsPort: trellistest.FreePort(t), churnPort: trellistest.FreePort(t),
	}
	// The drain timeout is long enough that no client, however slow, finds a connection closed because it was idle.
	s.process = trellistest.Start(t, trellistest.Build(t), "serve", "--data-dir", dir, "--deregistration-delay", "1s", "--drain-timeout", "40s",
		"--inventory", s.inventory.file(),
		"--port-map", fmt.Sprintf("80=%d,443=%d,81=%d", s.httpPort, s.httpsPort, s.churnPort))
	s.api = client(t, s.process.API, filepath.Join(dir, "credentials"))
	s.network = *must(s.api.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: aws.String("soak")}))(t).Id

	http1, http2, gRPC := types.TargetGroupProtocolVersionHttp1, types.TargetGroupProtocolVersionHttp2, types.TargetGroupProtocolVersionGrpc
	s.web = s.createService(t, "web", soakHost, inventoryARNs[0], types.TargetGroupProtocolHttp, http1, 2, startBackend)
	s.second = s.createService(t, "second", "", "", types.TargetGroupProtocolHttp, http2, 2, startHTTP2Backend)
	s.remote = s.createService(t, "remote", "", "", types.TargetGroupProtocolHttp, gRPC, 2, startGRPCBackend)
	s.sealed = s.createService(t, "sealed", sealedHost, "", types.TargetGroupProtocolTcp, "", 2, startTLSBackend)
	s.churned = s.createService(t, "churned", "", "", types.TargetGroupProtocolHttp, http1, 1, startBackend)
	s.createListener(t, s.web, types.ListenerProtocolHttp, 80)
	for _, service := range []*soakService{s.web, s.second, s.remote} {
		s.createListener(t, service, types.ListenerProtocolHttps, 443)
	}
	s.createListener(t, s.sealed, types.ListenerProtocolTlsPassthrough, 443)
	// So many that each kind of change always finds something to change.
	for range 2 {
		s.createRule(t)
		s.registerTarget(t)
	}
	s.changes = s.kindsOfChanges()
	return s
}

// anybody returns an SDK client for `trellis dev`, which accepts any credentials.
func anybody(api string) *vpclattice.Client {
	return vpclattice.New(vpclattice.Options{
		BaseEndpoint: &api, Region: "us-west-2", Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})
}

// createService creates a service with a number of target groups.
func (s *soak) createService(t *testing.T, name, domain, certificate string, protocol types.TargetGroupProtocol, version types.TargetGroupProtocolVersion,
	groups int, start func(*testing.T) *backend) *soakService {
	t.Helper()
	in := &vpclattice.CreateServiceInput{Name: &name}
	if domain != "" {
		in.CustomDomainName = &domain
	}
	if certificate != "" {
		in.CertificateArn = &certificate
	}
	created := must(s.api.CreateService(t.Context(), in))(t)
	must(s.api.CreateServiceNetworkServiceAssociation(t.Context(), &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: created.Id, ServiceNetworkIdentifier: &s.network,
	}))(t)
	service := &soakService{id: *created.Id, host: *created.DnsEntry.DomainName}
	for i := range groups {
		group := must(s.api.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{
			Name: aws.String(fmt.Sprintf("%s-%d", name, i)), Type: types.TargetGroupTypeIp,
			Config: &types.TargetGroupConfig{
				Protocol: protocol, ProtocolVersion: version, Port: aws.Int32(80), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
				HealthCheck: &types.HealthCheckConfig{
					Enabled:                    aws.Bool(version == types.TargetGroupProtocolVersionHttp1),
					HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(5),
				},
			},
		}))(t)
		g := &soakGroup{id: *group.Id, start: start}
		s.register(t, g, start(t))
		service.groups = append(service.groups, g)
	}
	return service
}

func (s *soak) register(t *testing.T, group *soakGroup, b *backend) {
	t.Helper()
	must(s.api.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &group.id, Targets: targets(b.port)}))(t)
}

func targets(port int32) []types.Target {
	return []types.Target{{Id: aws.String("127.0.0.1"), Port: &port}}
}

func (s *soak) createListener(t *testing.T, service *soakService, protocol types.ListenerProtocol, port int32) string {
	t.Helper()
	id := *must(s.api.CreateListener(t.Context(), &vpclattice.CreateListenerInput{
		ServiceIdentifier: &service.id, Name: aws.String(fmt.Sprintf("port-%d", port)), Protocol: protocol, Port: &port, DefaultAction: service.share(),
	}))(t).Id
	service.listeners = append(service.listeners, id)
	return id
}

// share is an action that splits requests among the service's groups, in any way.
func (s *soakService) share() types.RuleAction {
	first := int32(100)
	if len(s.groups) > 1 {
		first = 25 * rand.Int32N(5)
	}
	var weighted []types.WeightedTargetGroup
	for i, group := range s.groups {
		weighted = append(weighted, types.WeightedTargetGroup{TargetGroupIdentifier: &group.id, Weight: aws.Int32([]int32{first, 100 - first}[i])})
	}
	return &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: weighted}}
}

// loads are the kinds of requests.
func (s *soak) loads(t *testing.T) []*load {
	plain, secure := local(s.httpPort), local(s.httpsPort)
	http1 := func() *keptClient { return &keptClient{host: s.web.host, dial: dialTCP(plain)} }
	kept, bodies, chunked, slow, fresh, upgraded := http1(), http1(), http1(), http1(), http1(), http1()
	keptTLS := &keptClient{host: s.web.host, dial: dialTLS(secure, s.web.host)}
	freshTLS := &keptClient{host: soakHost, dial: dialTLS(secure, soakHost)}
	sealed := &keptClient{host: sealedHost, dial: dialTLS(secure, sealedHost)}
	bridged, second, prior := newHTTP2Client(secure, s.web.host, true), newHTTP2Client(secure, s.second.host, true), newHTTP2Client(plain, s.web.host, false)
	remote := newGRPCClient(t, secure, s.remote.host)
	anyPath := func() string { return slices.Concat([]string{"/"}, rulePaths())[rand.IntN(soakRules+1)] }
	return []*load{
		{name: "GET, HTTP/1.1, kept connection", one: func() error { return kept.get(anyPath(), greeting) }, end: kept.close},
		{name: "GET, HTTP/1.1, new connections", one: func() error { defer fresh.close(); return fresh.get(anyPath(), greeting) }},
		{name: "upload with a length, HTTP/1.1", one: func() error { return bodies.echo(randomBytes(1+rand.IntN(400_000)), true) }, end: bodies.close},
		{name: "upload in chunks, HTTP/1.1", one: func() error { return chunked.echo(randomBytes(1+rand.IntN(400_000)), false) }, end: chunked.close},
		{name: "download by a slow reader, HTTP/1.1", one: func() error { return slow.readSlowly("/large", largeBody) }, end: slow.close},
		{name: "upgraded connection, HTTP/1.1", one: func() error { defer upgraded.close(); return upgraded.upgradeAndEcho(10) }},
		{name: "GET, HTTP/1.1 over TLS, kept connection", one: func() error { return keptTLS.get("/", greeting) }, end: keptTLS.close},
		{name: "GET, HTTP/1.1 over TLS, new connections, custom name", one: func() error { defer freshTLS.close(); return freshTLS.get("/", greeting) }},
		{name: "GET and upload, HTTP/2 over TLS to HTTP/1.1", one: bridged.getAndPost, end: bridged.close},
		{name: "GET and upload, HTTP/2 over TLS to HTTP/2", one: second.getAndPost, end: second.close},
		{name: "GET and upload, HTTP/2 without TLS to HTTP/1.1", one: prior.getAndPost, end: prior.close},
		{name: "download, HTTP/2 over TLS to HTTP/2", one: second.download},
		{name: "gRPC over TLS, all four shapes", one: remote.callAll, end: remote.close},
		{name: "TLS passed through, three requests on a connection", one: func() error {
			defer sealed.close()
			for range 3 {
				if err := sealed.echo(randomBytes(1+rand.IntN(100_000)), true); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

func rulePaths() []string {
	paths := make([]string, soakRules)
	for i := range paths {
		paths[i] = fmt.Sprintf("/rule-%d/path", i+1)
	}
	return paths
}
