package proxy

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

func TestTargetLearnsWhereTheRequestComesFrom(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	w.dial().get("/", "X-Custom:  kept as it is  ", "x-forwarded-for: 10.0.0.1")
	request := next(t, requests)
	for name, want := range map[string]string{
		"X-Forwarded-For":   "127.0.0.1",
		"X-Forwarded-Port":  "80",
		"X-Forwarded-Proto": "http",
	} {
		if got := strings.Join(request.Header.Values(name), "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	target := request.Header.Get("X-Amzn-Lattice-Target")
	for _, arn := range []string{
		"ServiceArn=" + w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service).ARN(),
		"ServiceNetworkArn=" + w.records[lattice.ServiceNetworkKey(scope, "sn-1")].(*lattice.ServiceNetwork).ARN(),
		"TargetGroupArn=" + w.records[lattice.TargetGroupKey(scope, "tg-1")].(*lattice.TargetGroup).ARN(),
	} {
		if !strings.Contains(target, arn) {
			t.Errorf("x-amzn-lattice-target %q lacks %q", target, arn)
		}
	}
	if lines := strings.Join(request.lines, "\n"); !strings.Contains(lines, "\nX-Custom:  kept as it is  \n") {
		t.Errorf("X-Custom is not as it was in\n%s", lines)
	}
	if request.Host != host {
		t.Errorf("host %q", request.Host)
	}
}

// Programs that get headers as variables cannot tell an underscore from a hyphen (RFC 3875 4.1.18).
func TestClientCannotSetOurHeadersWithUnderscores(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	c.get("/", "x_amzn_lattice_identity: Principal=me", "X-Amzn_Lattice-Network: mine", "x-amzn-lattice_target: mine", "X_Amzn_Source_Vpc: vpc-1",
		"x_forwarded_for: 6.6.6.6", "X-Forwarded_Port: 1", "x_forwarded-proto: gopher", "x_amzn_requestid: mine", "x_custom_for_me: kept")
	request := next(t, requests)
	seen := map[string]int{}
	for _, line := range request.lines[1:] {
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		seen[strings.ReplaceAll(name, "_", "-")]++
	}
	for name, want := range map[string]int{
		"x-amzn-lattice-identity": 0, "x-amzn-lattice-network": 1, "x-amzn-lattice-target": 1, "x-amzn-source-vpc": 0,
		"x-forwarded-for": 1, "x-forwarded-port": 1, "x-forwarded-proto": 1, "x-amzn-requestid": 1, "x-custom-for-me": 1,
	} {
		if seen[name] != want {
			t.Errorf("the target got %s %d times, want %d", name, seen[name], want)
		}
	}
	if id := request.Header.Get("x-amzn-requestid"); id == "mine" {
		t.Errorf("x-amzn-requestid is %q", id)
	}
}

func TestIPv6OnBothSides(t *testing.T) {
	trellistest.NeedAddress(t, "::1")
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		fmt.Fprintf(out, "%s for %s", in.Header.Get("X-Forwarded-For"), in.Host)
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	w := newWorld(t, func(cfg *Config) { cfg.Address = "::1" })
	w.storefront(listener.Addr().String())
	if got := w.dial().get("/"); got.StatusCode != 200 || got.body != "::1 for "+host {
		t.Errorf("got %d %q", got.StatusCode, got.body)
	}
	if record := w.accessLog(1)[0]; !record.Source.Addr().Is6() || record.Target.String() != listener.Addr().String() {
		t.Errorf("record from %v to %v", record.Source, record.Target)
	}
}

func TestHostIsPassedOnWithItsPort(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	c.send("GET / HTTP/1.1\r\nhost: SVC-1.lattice.test:8080\r\n\r\n")
	c.receive("GET")
	if request := next(t, requests); request.lines[1] != "host: SVC-1.lattice.test:8080" {
		t.Errorf("the target got %q", request.lines)
	}
}

func TestRequestIDIsTheClientsOrANewUUID(t *testing.T) {
	w := newWorld(t)
	w.storefront(answering(t, "HTTP/1.1 200 OK\r\nx-amzn-RequestId: the target's own\r\nContent-Length: 0\r\n\r\n"))
	c := w.dial()
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	made := map[string]bool{}
	for range 100 {
		got := c.get("/").Header.Values("x-amzn-requestid")
		if len(got) != 1 || !uuid.MatchString(got[0]) || made[got[0]] {
			t.Fatalf("got %q", got)
		}
		made[got[0]] = true
	}
	if got := c.get("/", "X-AMZN-RequestID: any format (at all)").Header.Values("x-amzn-requestid"); len(got) != 1 || got[0] != "any format (at all)" {
		t.Errorf("got %q", got)
	}
	if got := c.get("/", "x-amzn-requestid: "+strings.Repeat("i", 600)).Header.Get("x-amzn-requestid"); got != strings.Repeat("i", 512) {
		t.Errorf("got %d bytes", len(got))
	}
	if got := c.get("/", "x-amzn-requestid:").Header.Get("x-amzn-requestid"); !uuid.MatchString(got) {
		t.Errorf("got %q", got)
	}
	// Also in what the proxy answers itself.
	c.send("GET / HTTP/1.1\r\nHost: other.test\r\nx-amzn-requestid: mine\r\n\r\n")
	if got := c.receive("GET").Header.Get("x-amzn-requestid"); got != "mine" {
		t.Errorf("got %q", got)
	}
}

func TestExplainHeadersSayWhereARequestWent(t *testing.T) {
	w := newWorld(t, func(cfg *Config) { cfg.Explain = true })
	address, _ := recording(t)
	w.storefront(address)
	got := w.dial().get("/").Header
	for name, want := range map[string]string{
		"x-trellis-service":      "svc-1",
		"x-trellis-rule":         "rule-default",
		"x-trellis-target-group": "tg-1",
		"x-trellis-target":       address,
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
	plain := newWorld(t)
	plain.storefront(address)
	for name := range plain.dial().get("/").Header {
		if strings.HasPrefix(strings.ToLower(name), "x-trellis-") {
			t.Errorf("%s without Explain", name)
		}
	}
}

func TestResponsesThatTheProxyMakes(t *testing.T) {
	w := newWorld(t)
	w.targetGroup("tg-empty", shape.TargetGroupProtocolHttp)
	w.targetGroup("tg-refusing", shape.TargetGroupProtocolHttp, refusing(t))
	w.service("svc-1", 80, respondWith(404))
	w.service("svc-2", 80, respondWith(500))
	w.service("svc-3", 80, forwardTo("tg-empty"), "tg-empty")
	w.service("svc-4", 80, forwardTo("tg-refusing"), "tg-refusing")
	for i, test := range []struct {
		host    string
		status  int
		text    string
		failure accesslog.Failure
	}{
		{"svc-1.lattice.test", 404, "Not Found", ""},
		{"svc-2.lattice.test", 500, "Internal Server Error", ""},
		{"svc-3.lattice.test", 503, "service not available", accesslog.TargetConnectionError},
		{"svc-4.lattice.test", 500, "Internal Server Error", accesslog.TargetConnectionError},
		{"unknown.test", 404, "Not Found", ""},
	} {
		c := w.dial()
		for j, method := range []string{"GET", "HEAD", "POST"} {
			c.send("%s / HTTP/1.1\r\nHost: %s\r\nContent-Length: 4\r\n\r\nbody", method, test.host)
			got := c.receive(method)
			want := test.text
			if method == "HEAD" {
				want = ""
			}
			if got.StatusCode != test.status || got.body != want || got.ContentLength != int64(len(test.text)) ||
				got.Header.Get("Content-Type") != "text/plain" || got.Header.Get("Date") == "" || got.Close {
				t.Errorf("%s %s: got %d %q, %v", method, test.host, got.StatusCode, got.body, got.Header)
			}
			record := w.accessLog(3*i + j + 1)[3*i+j]
			if record.Status != test.status || record.Failure != test.failure {
				t.Errorf("%s: record %d %q", test.host, record.Status, record.Failure)
			}
		}
	}
}

// The proxy sends its own responses at once, without waiting for the body. Then it does not know where the next request
// starts.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n\r\nbeginning", host)
	if got := c.receive("POST"); got.StatusCode != 404 || !got.Close {
		t.Errorf("got %d, close %v", got.StatusCode, got.Close)
	}
	c.atEnd()
}
