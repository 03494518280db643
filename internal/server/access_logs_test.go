package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/internal/accesslog/tail"
	"trellis/test/trellistest"
)

// theService returns the service of serviceOnPort80.
func (r *running) theService(t *testing.T) (id, host string) {
	t.Helper()
	services, err := r.client(anybody()).ListServices(t.Context(), nil)
	if err != nil || len(services.Items) != 1 {
		t.Fatalf("the services are %+v (%v)", services, err)
	}
	return *services.Items[0].Id, *services.Items[0].DnsEntry.DomainName
}

func TestLogsCommandShowsExchangesAsTheyEnd(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0")
	node.serviceOnPort80(t)
	_, host := node.theService(t)
	ctx, stop := context.WithCancel(t.Context())
	admin := "http://" + node.server.adminListener.Addr().String()
	var all, failed, json trellistest.Text
	ended := make(chan int, 3)
	go func() { ended <- tail.Command{Admin: admin, Service: "nothing"}.Run(ctx, &all, io.Discard) }()
	go func() { ended <- tail.Command{Admin: admin, Status: "5xx"}.Run(ctx, &failed, io.Discard) }()
	go func() { ended <- tail.Command{Admin: admin, JSON: true}.Run(ctx, &json, io.Discard) }()
	trellistest.Await(t, func() bool {
		node.ask(t, host, "/what?is=this")
		node.ask(t, "nobody.example", "/")
		return strings.Contains(all.String(), "GET /what?is=this  nothing") && strings.Contains(json.String(), `"problem":`)
	}, "the lines of both")
	stop()
	for range 3 {
		if code := <-ended; code != 0 {
			t.Errorf("the exit code is %d", code)
		}
	}
	if strings.Contains(all.String(), "nobody.example") || strings.Contains(all.String(), "\x1b[") {
		t.Errorf("what --service does not name is shown, or colours where there is no terminal:\n%s", all.String())
	}
	if failed.String() != "" {
		t.Errorf("--status 5xx shows\n%s", failed.String())
	}
}

// must returns a value, and ends the test if there is an error.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// The node has two functions, neither of which becomes ready; what they write says why. Each request invokes one of them.
func TestLogsCommandShowsWhatAFunctionWritesAndTheExchangesWithIt(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0", "--function", "orders=sh -c 'echo \"no module\tnamed app\"; exit 3'",
		"--function", "rates=sh -c 'echo no rates; exit 4'")
	client := node.client(anybody())
	network := must(client.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: aws.String("shop")}))(t)
	hosts := map[string]string{}
	for _, name := range []string{"orders", "rates"} {
		group := must(client.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: aws.String(name + "-code"), Type: types.TargetGroupTypeLambda}))(t)
		must(client.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{
			TargetGroupIdentifier: group.Id, Targets: []types.Target{{Id: aws.String("arn:aws:lambda:us-west-2:000000000000:function:" + name)}}}))(t)
		service := must(client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String(name + "-api")}))(t)
		hosts[name] = *service.DnsEntry.DomainName
		must(client.CreateServiceNetworkServiceAssociation(t.Context(), &vpclattice.CreateServiceNetworkServiceAssociationInput{
			ServiceNetworkIdentifier: network.Id, ServiceIdentifier: service.Id}))(t)
		must(client.CreateListener(t.Context(), &vpclattice.CreateListenerInput{
			ServiceIdentifier: service.Id, Name: aws.String("http"), Protocol: types.ListenerProtocolHttp,
			DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{
				TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}},
		}))(t)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all, orders, exchanges trellistest.Text
	ended := make(chan int, 3)
	for out, c := range map[*trellistest.Text]tail.Command{&all: {}, &orders: {Function: "orders"}, &exchanges: {Service: "orders-api"}} {
		c.Admin = node.admin()
		go func() { ended <- c.Run(ctx, out, io.Discard) }()
	}
	// A function that cannot start is not started again, so what it writes comes once.
	trellistest.Await(t, func() bool { return node.server.accessLogs.Figures().Watchers == 3 }, "all three commands watch")
	const output, exchange = " orders:  no module named app\n", "  GET /  orders-api -> orders-code orders  LambdaInitError: "
	trellistest.Await(t, func() bool {
		node.ask(t, hosts["orders"], "/")
		node.ask(t, hosts["rates"], "/")
		return strings.Contains(all.String(), output) && strings.Contains(all.String(), " rates:  no rates\n") &&
			strings.Contains(orders.String(), output) && strings.Contains(orders.String(), exchange) && strings.Contains(exchanges.String(), exchange)
	}, "the lines of all three commands")
	stop()
	for range 3 {
		<-ended
	}
	if strings.Contains(orders.String(), "rates") {
		t.Errorf("--function orders shows\n%s", orders.String())
	}
	if strings.Contains(exchanges.String(), output) || strings.Contains(exchanges.String(), "rates") {
		t.Errorf("--service orders-api shows\n%s", exchanges.String())
	}
}

func TestLogsCommandSaysWhatIsWrong(t *testing.T) {
	node := start(t, "dev")
	admin := "http://" + node.server.adminListener.Addr().String()
	for _, c := range []struct {
		command tail.Command
		code    int
		want    string
	}{
		{tail.Command{Admin: admin, Status: "5x"}, 2, "as in 502 or 5xx"},
		{tail.Command{Admin: "nowhere"}, 2, "http://127.0.0.1:7601"},
		{tail.Command{Admin: "http://127.0.0.1:1"}, 1, "no node answers"},
	} {
		var said trellistest.Text
		if code := c.command.Run(t.Context(), io.Discard, &said); code != c.code || !strings.Contains(said.String(), c.want) {
			t.Errorf("%+v ends with %d and %q, want %d and %q", c.command, code, said.String(), c.code, c.want)
		}
	}
}

func TestLinesAreThoseThatAreAskedFor(t *testing.T) {
	lines := map[string]string{
		"good":     `{"service":"files","serviceId":"svc-1","responseCode":200,"failureReason":"-"}`,
		"bad":      `{"service":"files","serviceId":"svc-1","responseCode":502,"failureReason":"LambdaUnhandled","function":"orders"}`,
		"output":   `{"function":"orders","output":"hello"}`,
		"resource": `{"resource":"db","protocol":"tcp"}`,
		"broken":   `{"resource":"db","protocol":"tcp","problem":"connection refused"}`,
	}
	for _, c := range []struct{ service, status, failed, function, want string }{
		{want: "bad broken good output resource"},
		{service: "files", want: "bad good"},
		{service: "svc-1", status: "5xx", want: "bad"},
		{status: "200", want: "good"},
		{failed: "1", want: "bad broken"},
		{function: "orders", want: "bad output"},
		{function: "orders", failed: "1", want: "bad"},
	} {
		wants, err := lineFilter(c.service, c.status, c.failed, c.function)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for name, line := range lines {
			if wants([]byte(line)) {
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v gives %v", c, got)
		}
	}
}

// entriesBelow waits for a file with entries below a directory, whose name has all parts, and returns the entries.
func entriesBelow(t *testing.T, dir string, parts ...string) string {
	t.Helper()
	var entries []byte
	trellistest.Await(t, func() bool {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(path, part) }) {
				return err
			}
			compressed, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			reader, err := gzip.NewReader(bytes.NewReader(compressed))
			if err != nil {
				return nil // It is empty, or no file with entries.
			}
			entries, _ = io.ReadAll(reader) // A file that is being written has no end.
			return nil
		})
		return err == nil && len(entries) > 0
	}, "a file with the entries")
	return string(entries)
}

func TestSubscriptionWritesEntriesBelowADirectory(t *testing.T) {
	dir := t.TempDir()
	node := start(t, "dev", "--port-map", "80=0", "--access-logs", dir)
	node.serviceOnPort80(t)
	id, host := node.theService(t)
	node.ask(t, host, "/before")
	bucket := "arn:aws:s3:::access-logs"
	if _, err := node.client(anybody()).CreateAccessLogSubscription(t.Context(), &vpclattice.CreateAccessLogSubscriptionInput{
		ResourceIdentifier: &id, DestinationArn: &bucket}); err != nil {
		t.Fatal(err)
	}
	node.ask(t, host, "/after")
	content := entriesBelow(t, dir, id)
	if lines := strings.Split(strings.TrimSpace(content), "\n"); len(lines) != 1 || !strings.Contains(lines[0], `"requestPath":"/after"`) {
		t.Errorf("the file has %q, want the entry of the request after the subscription alone", lines)
	}
}

func TestConnectionsToAResourceHaveEntriesAndLines(t *testing.T) {
	dir, port := t.TempDir(), greeter(t)
	addresses := trellistest.ResourceRange()
	resource := addresses.Addr().Next().String()
	node := start(t, "dev", "--access-logs", dir, "--resource-range", addresses.String())
	api := node.client(anybody())
	resourceInNetwork(t, api, "vpc-0123456789abcdef1", port)
	networks, err := api.ListServiceNetworks(t.Context(), &vpclattice.ListServiceNetworksInput{})
	if err != nil || len(networks.Items) != 1 {
		t.Fatal(networks, err)
	}
	network, bucket := *networks.Items[0].Id, "arn:aws:s3:::access-logs"
	if _, err := api.CreateAccessLogSubscription(t.Context(), &vpclattice.CreateAccessLogSubscriptionInput{
		ResourceIdentifier: &network, DestinationArn: &bucket, ServiceNetworkLogType: types.ServiceNetworkLogTypeResource}); err != nil {
		t.Fatal(err)
	}
	var lines trellistest.Text
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- tail.Command{Admin: "http://" + node.server.adminListener.Addr().String()}.Run(ctx, &lines, io.Discard)
	}()
	at := fmt.Sprintf("%s:%d", resource, port)
	trellistest.Await(t, func() bool {
		if got, err := greetFrom("127.0.0.1", resource, port); got != "hello" {
			t.Fatalf("the resource sends %q, %v", got, err)
		}
		return strings.Contains(lines.String(), fmt.Sprintf("orders -> 127.0.0.1:%d", port)) && strings.Contains(lines.String(), " TCP ")
	}, "a line of the connection")
	stop()
	<-ended
	var entry struct{ Protocol, DestinationIPPort, ResourceIPPort, ServiceNetworkArn string }
	content, _, _ := strings.Cut(entriesBelow(t, dir, "VpcLatticeResourceAccessLogs", network), "\n")
	if err := json.Unmarshal([]byte(content), &entry); err != nil || entry.Protocol != "tcp" || entry.DestinationIPPort != at ||
		entry.ResourceIPPort != fmt.Sprintf("127.0.0.1:%d", port) || !strings.HasSuffix(entry.ServiceNetworkArn, network) {
		t.Errorf("the entry is %s, %v", content, err)
	}
}
