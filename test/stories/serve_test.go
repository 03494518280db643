// Package stories_test tests what users experience, with the whole program: it is built, started, killed and started again,
// an unchanged AWS SDK calls its API, and HTTP clients send requests through it.
package stories_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// client returns an SDK client with the keys that `trellis serve` has created.
func client(t *testing.T, api, credentials string) *vpclattice.Client {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithRegion("us-west-2"),
		config.WithSharedCredentialsFiles([]string{credentials}),
		config.WithSharedConfigFiles(nil),
		config.WithSharedConfigProfile("default"), // Not those of the environment, if a test has set some for its node.
	)
	if err != nil {
		t.Fatal(err)
	}
	return vpclattice.NewFromConfig(cfg, func(o *vpclattice.Options) {
		o.BaseEndpoint = &api
		o.Retryer = aws.NopRetryer{}
	})
}

// network is a service network with one service in front of one target group.
type network struct {
	host, targetGroup, service string
}

// buildNetwork creates a network whose service answers on listener port 80 from a backend.
func buildNetwork(t *testing.T, c *vpclattice.Client, backend string) network {
	t.Helper()
	return buildNamed(t, c, backend, "web", "backends")
}

// buildNamed is buildNetwork with names for the service and its target group.
func buildNamed(t *testing.T, c *vpclattice.Client, backend, service, group string) network {
	t.Helper()
	ctx := t.Context()
	_, portText, _ := net.SplitHostPort(backend)
	port, _ := strconv.Atoi(portText)
	madeGroup := must(c.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{
		Name: &group, Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{
			Protocol: types.TargetGroupProtocolHttp, Port: aws.Int32(int32(port)), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
			HealthCheck: &types.HealthCheckConfig{HealthCheckIntervalSeconds: aws.Int32(5), HealthCheckTimeoutSeconds: aws.Int32(1)},
		},
	}))(t)
	must(c.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{
		TargetGroupIdentifier: madeGroup.Id, Targets: []types.Target{{Id: aws.String("127.0.0.1")}},
	}))(t)
	sn := must(c.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("net")}))(t)
	madeService := must(c.CreateService(ctx, &vpclattice.CreateServiceInput{Name: &service}))(t)
	must(c.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{
		ServiceIdentifier: madeService.Id, ServiceNetworkIdentifier: sn.Arn,
	}))(t)
	must(c.CreateListener(ctx, &vpclattice.CreateListenerInput{
		ServiceIdentifier: madeService.Id, Name: aws.String("http"), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(80),
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{
			TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: madeGroup.Id}},
		}},
	}))(t)
	return network{host: *madeService.DnsEntry.DomainName, targetGroup: *madeGroup.Id, service: *madeService.Id}
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func createGroup(t *testing.T, c *vpclattice.Client, name string) error {
	t.Helper()
	_, err := c.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: &name, Type: types.TargetGroupTypeLambda})
	return err
}

// get sends a request for a host to the data plane.
func get(ctx context.Context, host string, dataPort int, path string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", dataPort, path), nil)
	if err != nil {
		return 0, "", err
	}
	r.Host = host
	r.Close = true // a connection that stays idle would delay
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}

// failsToStart runs a program that must not start, and returns its output.
func failsToStart(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, append(args, "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Fatalf("the program ends with %v\n%s", err, out)
	}
	if strings.Contains(string(out), "goroutine ") {
		t.Errorf("there is a stack trace:\n%s", out)
	}
	return string(out)
}

func TestAcknowledgedRecordsSurviveAKillAndTrafficFlowsAgain(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer backend.Close()
	program := trellistest.Build(t)
	dir := t.TempDir()
	credentials := filepath.Join(dir, "credentials")
	dataPort := trellistest.FreePort(t)
	start := func() *trellistest.Process {
		return trellistest.Start(t, program, "serve", "--data-dir", dir, "--port-map", fmt.Sprintf("80=%d", dataPort))
	}

	first := start()
	c := client(t, first.API, credentials)
	n := buildNetwork(t, c, backend.Listener.Addr().String())
	for i := range 20 {
		must(c.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{
			Name: aws.String(fmt.Sprintf("group-%d", i)), Type: types.TargetGroupTypeLambda, Tags: map[string]string{"number": strconv.Itoa(i)},
		}))(t)
	}
	expectAnswer(t, n.host, dataPort)
	first.Kill()

	second := start()
	c = client(t, second.API, credentials)
	groups := must(c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t)
	if len(groups.Items) != 21 || *groups.Items[20].Name != "group-19" {
		t.Errorf("%d target groups are left of 21", len(groups.Items))
	}
	tags := must(c.ListTagsForResource(t.Context(), &vpclattice.ListTagsForResourceInput{ResourceArn: groups.Items[20].Arn}))(t)
	if tags.Tags["number"] != "19" {
		t.Errorf("the tags are %v", tags.Tags)
	}
	expectAnswer(t, n.host, dataPort)
}

func expectAnswer(t *testing.T, host string, dataPort int) {
	t.Helper()
	status, body, err := get(t.Context(), host, dataPort, "/")
	if err != nil || status != http.StatusOK || body != "hello" {
		t.Errorf("the service answers %d %q, %v", status, body, err)
	}
}

func TestServeRefusesUnsignedAndWronglySignedRequests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := trellistest.Start(t, trellistest.Build(t), "serve", "--data-dir", dir)
	response, err := http.Get(p.API + "/targetgroups")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusForbidden || response.Header.Get("X-Amzn-ErrorType") != "MissingAuthenticationToken" {
		t.Errorf("an unsigned request is answered %d %s", response.StatusCode, response.Header.Get("X-Amzn-ErrorType"))
	}
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	if _, err := c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}); err != nil {
		t.Errorf("a signed request is refused: %v", err)
	}
	_, err = c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}, func(o *vpclattice.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDUNKNOWN", SecretAccessKey: "secret"}, nil
		})
	})
	if err == nil {
		t.Error("an unknown key is accepted")
	}
}

func TestTerminationLetsExchangesInFlightFinish(t *testing.T) {
	t.Parallel()
	backend, arrived, answerSlow := slowBackend(t)
	defer answerSlow()
	dataPort := trellistest.FreePort(t)
	p := trellistest.Start(t, trellistest.Build(t), "dev", "--port-map", fmt.Sprintf("80=%d", dataPort))
	n := buildNetwork(t, vpclattice.New(vpclattice.Options{
		BaseEndpoint: &p.API, Region: "us-west-2",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	}), backend)

	answered := make(chan error, 1)
	go func() {
		status, body, err := get(context.Background(), n.host, dataPort, "/slow")
		if err == nil && (status != http.StatusOK || body != "hello") {
			err = fmt.Errorf("the response is %d %q", status, body)
		}
		answered <- err
	}()
	select {
	case <-arrived:
	case err := <-answered:
		t.Fatalf("the request is answered before it has arrived at the target: %v", err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.Stop()
	}()
	// Once the program accepts no new connection, it is draining.
	trellistest.Await(t, func() bool {
		_, _, err := get(t.Context(), n.host, dataPort, "/")
		return errors.As(err, new(*net.OpError))
	}, "no new connection is taken")
	answerSlow()
	if err := <-answered; err != nil {
		t.Errorf("the exchange in flight failed: %v", err)
	}
	<-stopped
}
