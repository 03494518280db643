package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"trellis/internal/shape"
)

// http2Client returns a client that speaks HTTP/2 to a listener by prior knowledge.
func (w *world) http2Client() *http.Client {
	transport := &http.Transport{Protocols: priorKnowledge(), DialContext: w.dialler(80)}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// priorKnowledge allows only HTTP/2 without TLS.
func priorKnowledge() *http.Protocols {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return protocols
}

// anyVersion is what most servers speak: HTTP/1.1, and HTTP/2 to clients with prior knowledge.
func anyVersion() *http.Protocols {
	protocols := priorKnowledge()
	protocols.SetHTTP1(true)
	return protocols
}

// http2Backend is a target that speaks HTTP/2 by prior knowledge.
func http2Backend(t testing.TB, handler http.Handler, change ...func(*http.Server)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: orNotFound(handler), Protocols: anyVersion()}
	for _, change := range change {
		change(server)
	}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func (w *world) http2Storefront(version shape.TargetGroupProtocolVersion, targets ...string) {
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttp)
	w.setVersion("tg-1", version)
	w.put(w.targets("tg-1", targets...))
	w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
}

func fetch(t testing.TB, client *http.Client, method, path string, body io.Reader) answer {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+host+path, body)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, client, request)
}

func do(t testing.TB, client *http.Client, request *http.Request) answer {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response, string(text), err}
}

func TestHTTP2RequestReachesATargetOfHTTP1(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	client := w.http2Client()
	request, _ := http.NewRequest("POST", "http://"+host+"/a?b=c", io.MultiReader(strings.NewReader("hello"), strings.NewReader(" world")))
	request.Header["Cookie"] = []string{"a=1", "b=2"}
	request.Header.Set("X-Custom", "yes")
	request.Header.Set("X-Amzn-Lattice-Identity", "me")
	got := do(t, client, request)
	if got.StatusCode != 200 || got.body != "ok" || got.ProtoMajor != 2 {
		t.Errorf("answer %v %q", got.Response, got.body)
	}
	seen := next(t, requests)
	if seen.body != "hello world" || seen.Host != host || seen.URL.String() != "/a?b=c" || seen.Method != "POST" {
		t.Errorf("the target got %s %s of %s: %q", seen.Method, seen.URL, seen.Host, seen.body)
	}
	for name, want := range map[string]string{"Cookie": "a=1; b=2", "X-Custom": "yes", "X-Amzn-Lattice-Identity": "",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Amzn-Requestid": got.Header.Get("X-Amzn-Requestid")} {
		if value := strings.Join(seen.Header.Values(name), "|"); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	record := w.accessLog(1)[0]
	if record.Protocol != "HTTP/2" || record.Status != 200 || record.Failure != "" || string(record.Path) != "/a" {
		t.Errorf("record %+v", record)
	}
}

func TestHTTP2RequestReachesATargetOfHTTP2(t *testing.T) {
	w := newWorld(t)
	address := http2Backend(t, http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		body, _ := io.ReadAll(in.Body)
		out.Header().Set("Trailer", "X-End")
		fmt.Fprintf(out, "%s %s %s %s %s %s", in.Proto, in.Method, in.Host, in.URL, body, in.Header.Get("X-Forwarded-For"))
		out.Header().Set("X-End", "over")
	}))
	w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, address)
	client := w.http2Client()
	for range 3 {
		got := fetch(t, client, "PUT", "/a?b=c", strings.NewReader("hello"))
		if want := "HTTP/2.0 PUT " + host + " /a?b=c hello 127.0.0.1"; got.StatusCode != 200 || got.body != want || got.err != nil {
			t.Errorf("answer %v %q %v, want %q", got.Response, got.body, got.err, want)
		}
		if got.Trailer.Get("X-End") != "over" {
			t.Errorf("trailers %v", got.Trailer)
		}
	}
}

func TestLargeBodiesPassBothWaysOverHTTP2(t *testing.T) {
	const size = 512 << 10
	echo := http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) { io.Copy(out, in.Body) })
	for _, test := range []struct {
		name  string
		setUp func(w *world)
	}{
		{"HTTP/1.1 target", func(w *world) {
			listener, _ := net.Listen("tcp", "127.0.0.1:0")
			server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
				http.NewResponseController(out).EnableFullDuplex()
				echo(out, in)
			})}
			go server.Serve(listener)
			t.Cleanup(func() { server.Close() })
			w.storefront(listener.Addr().String())
		}},
		{"HTTP/2 target", func(w *world) { w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, http2Backend(t, echo)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			test.setUp(w)
			client := w.http2Client()
			done := make(chan answer, 8)
			body := strings.Repeat("0123456789abcdef", size/16)
			for range cap(done) {
				go func() { done <- fetch(t, client, "POST", "/", io.MultiReader(strings.NewReader(body))) }()
			}
			for range cap(done) {
				if got := <-done; got.body != body || got.err != nil {
					t.Errorf("answer %v of %d bytes, %v", got.Response, len(got.body), got.err)
				}
			}
		})
	}
}

func newRequest(method, contentType string) (*http.Request, error) {
	request, err := http.NewRequest(method, "http://"+host+"/", nil)
	if err == nil && contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return request, err
}

func orNotFound(handler http.Handler) http.Handler {
	if handler == nil {
		return http.NotFoundHandler()
	}
	return handler
}
