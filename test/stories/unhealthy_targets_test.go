package stories_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// frail is a target that becomes unhealthy, dies and comes back as the test says. Requests have numbers, in the order in
// which their clients begin them.
type frail struct {
	port   int32
	server *http.Server // nil while it is dead

	isIll, flaps atomic.Bool
	checks       atomic.Int64
	requests     atomic.Int64
	// barred is the number from which on no request may come; 0 if any may.
	barred atomic.Int64
	wrong  atomic.Int64 // how many of them have arrived
	holds  atomic.Int64 // requests that came to be held until release
	ward   *ward
}

func (f *frail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, number, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch kind {
	case "healthz":
		if check := f.checks.Add(1); f.isIll.Load() || f.flaps.Load() && check%2 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		return
	case "hold":
		f.holds.Add(1)
		f.ward.holds.Add(1)
		<-f.ward.released
	}
	if from, n := f.barred.Load(), must64(number); from != 0 && n >= from {
		f.wrong.Add(1)
	}
	f.requests.Add(1)
	io.WriteString(w, greeting)
}

func must64(number string) int64 {
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic(err) // the requests are the test's own
	}
	return n
}

func (f *frail) live(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", local(int(f.port)))
	if err != nil {
		t.Fatal(err)
	}
	f.server = &http.Server{Handler: f}
	go f.server.Serve(listener)
	t.Cleanup(f.die)
}

// die breaks off what is under way; after that, connections are refused.
func (f *frail) die() { _ = f.server.Close() }

// ward is a service and its targets.
type ward struct {
	t           *testing.T
	process     *trellistest.Process
	api         *vpclattice.Client
	group, host string
	port        int
	number      atomic.Int64 // of the last request that a client has begun
	holds       atomic.Int64 // those of all targets
	released    <-chan struct{}
}

func newWard(t *testing.T, released <-chan struct{}) *ward {
	t.Helper()
	w := &ward{t: t, port: trellistest.FreePort(t), released: released}
	w.process = trellistest.Start(t, trellistest.Build(t), "dev", "--port-map", fmt.Sprintf("80=%d", w.port))
	w.api = anybody(w.process.API)
	ctx := t.Context()
	group := must(w.api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: aws.String("frail"), Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: aws.Int32(80), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
			HealthCheck: &types.HealthCheckConfig{Path: aws.String("/healthz"), HealthCheckIntervalSeconds: aws.Int32(5), HealthyThresholdCount: aws.Int32(2), UnhealthyThresholdCount: aws.Int32(2)}}}))(t)
	w.group = *group.Id
	network := must(w.api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("ward")}))(t)
	service := must(w.api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: aws.String("ward")}))(t)
	w.host = *service.DnsEntry.DomainName
	must(w.api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id}))(t)
	must(w.api.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: aws.String("http"), Protocol: types.ListenerProtocolHttp,
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}}}))(t)
	return w
}

// admit registers a new target.
func (w *ward) admit() *frail {
	w.t.Helper()
	f := &frail{port: int32(trellistest.FreePort(w.t)), ward: w}
	f.live(w.t)
	must(w.api.RegisterTargets(w.t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &w.group, Targets: targets(f.port)}))(w.t)
	return f
}

// states are how routing sees the targets, by their ports.
func (w *ward) states() map[int32]string {
	w.t.Helper()
	response := must(http.Get(w.process.Admin + "/explain?host=" + w.host))(w.t)
	defer response.Body.Close()
	var explanation struct {
		TargetGroups []struct {
			Targets []struct {
				Port  int32
				State string
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&explanation); err != nil || len(explanation.TargetGroups) != 1 {
		w.t.Fatalf("/explain: %v, %+v", err, explanation)
	}
	states := map[int32]string{}
	for _, target := range explanation.TargetGroups[0].Targets {
		states[target.Port] = target.State
	}
	return states
}

// await waits until targets are in a state.
func (w *ward) await(state string, all ...*frail) {
	w.t.Helper()
	trellistest.Await(w.t, func() bool {
		states := w.states()
		for _, f := range all {
			if states[f.port] != state {
				return false
			}
		}
		return true
	}, "%d targets are %s", len(all), state)
}

// awaitRequests waits until targets have got the given number of further requests.
func (w *ward) awaitRequests(more int64, all ...*frail) {
	w.t.Helper()
	for _, f := range all {
		before := f.requests.Load()
		trellistest.Await(w.t, func() bool { return f.requests.Load() >= before+more }, "the target on port %d gets requests", f.port)
	}
}

// bar allows no request to targets that begins from now on.
func (w *ward) bar(all ...*frail) {
	for _, f := range all {
		f.barred.Store(w.number.Load() + 1)
	}
}

// drain deregisters a target while it has a request, which must be answered like any other. Targets take turns with the
// requests of all clients, so that nobody knows which one gets a request: drain sends more until one is at the target.
func (w *ward) drain(f *frail, release func()) {
	w.t.Helper()
	var held sync.WaitGroup
	for sent := int64(1); f.holds.Load() == 0; sent++ {
		held.Go(func() {
			c := &keptClient{host: w.host, dial: dialTCP(local(w.port))}
			defer c.close()
			if err := c.get(fmt.Sprintf("/hold/%d", w.number.Add(1)), greeting); err != nil {
				w.t.Errorf("a request that was under way while a target was deregistered: %v", err)
			}
		})
		trellistest.Await(w.t, func() bool { return w.holds.Load() == sent }, "%d requests are under way at targets", sent)
	}
	must(w.api.DeregisterTargets(w.t.Context(), &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &w.group, Targets: targets(f.port)}))(w.t)
	w.bar(f)
	release()
	held.Wait()
}

// TestUnhealthyAndDrainingTargetsGetNoRequestsUnderLoad makes targets die, become unhealthy, flap, drain and join while
// clients send requests without retries, none of which may fail. As soon as a target is known to be unhealthy, or is
// draining, no request that begins afterwards may reach it.
func TestUnhealthyAndDrainingTargetsGetNoRequestsUnderLoad(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	w := newWard(t, released)
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	dying, ill, flapping, steady := w.admit(), w.admit(), w.admit(), w.admit()
	w.await("available", dying, ill, flapping, steady)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for i := range 6 {
		c := &keptClient{host: w.host, dial: dialTCP(local(w.port))}
		l := &load{name: "a client", one: func() error {
			if i%3 == 0 { // Some make a connection for each.
				defer c.close()
			}
			return c.get(fmt.Sprintf("/request/%d", w.number.Add(1)), greeting)
		}, end: c.close}
		running.Go(func() {
			if err := l.run(ctx); err != nil {
				t.Errorf("request %d of a client: %v", l.requests.Load(), err)
			}
		})
	}

	var all []*frail
	for round := range soakFactor(t) {
		leaving := w.admit()
		w.await("available", leaving)
		w.awaitRequests(10, dying, ill, flapping, steady, leaving)
		all = append(all, leaving)
		if round == 0 {
			w.drain(leaving, release)
		} else { // Requests are held back once.
			must(w.api.DeregisterTargets(t.Context(), &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: &w.group, Targets: targets(leaving.port)}))(t)
			w.bar(leaving)
		}

		dying.die()
		ill.isIll.Store(true)
		flapping.flaps.Store(true)
		w.await("unavailable", dying, ill)
		w.bar(dying, ill)
		dying.isIll.Store(true)
		dying.live(t) // It could answer requests again, if one came.
		w.awaitRequests(100, steady)
		if states := w.states(); states[flapping.port] != "available" || states[dying.port] != "unavailable" || states[ill.port] != "unavailable" {
			t.Errorf("the one that flaps, the one that died and the one that is ill are %s, %s and %s", states[flapping.port], states[dying.port], states[ill.port])
		}
		for _, f := range []*frail{dying, ill} {
			f.barred.Store(0)
			f.isIll.Store(false)
		}
		flapping.flaps.Store(false)
		w.await("available", dying, ill)
		w.awaitRequests(10, dying, ill, flapping, steady)
		if t.Failed() {
			break
		}
	}
	stop()
	running.Wait()
	for _, f := range append(all, dying, ill, flapping, steady) {
		if n := f.wrong.Load(); n > 0 {
			t.Errorf("the target on port %d got %d requests while it was unhealthy or draining", f.port, n)
		}
	}
	t.Logf("%d requests", w.number.Load())
}
