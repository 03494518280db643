package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// testPass is the secret of the ports in tests.
const testPass = "the-secret-of-the-tests"

// openHTTPPort serves a handler on an httpPort until the test is over, and returns its URL.
func openHTTPPort(t *testing.T, handler http.HandlerFunc) (d *httpPort, url string) {
	t.Helper()
	return openPort(t, httpPortConfig{Handler: handler, Log: slog.New(slog.DiscardHandler)})
}

// openPort serves on an httpPort with a configuration.
func openPort(t *testing.T, cfg httpPortConfig) (d *httpPort, url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listener, cfg.Limit, cfg.Pass = listener, 4, testPass
	d = newHTTPPort(cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d, "http://" + listener.Addr().String()
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// ask sends a request and returns a channel that gets the response.
func ask(t *testing.T, client *http.Client, url string) <-chan string {
	answer := make(chan string, 1)
	go func() {
		res, err := client.Get(url)
		if err != nil {
			t.Error(err)
			answer <- ""
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Error(err)
		}
		if res.Close {
			body = append(body, ", and the end"...)
		}
		answer <- string(body)
	}()
	return answer
}

func TestPausedPortMakesCallsWaitAndLosesNone(t *testing.T) {
	d, url := openHTTPPort(t, says("here"))
	old, fresh := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{}}
	if got := <-ask(t, old, url); got != "here" {
		t.Fatalf("the port answers %q", got)
	}
	d.pause()
	if err := d.idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	onOld, onNew := ask(t, old, url), ask(t, fresh, url)
	select {
	case got := <-onOld:
		t.Errorf("a call on an old connection is answered %q", got)
	case got := <-onNew:
		t.Errorf("a call on a new connection is answered %q", got)
	case <-time.After(50 * time.Millisecond):
	}
	d.resume()
	if a, b := <-onOld, <-onNew; a != "here" || b != "here" {
		t.Errorf("they are answered %q and %q in the end", a, b)
	}
	old.CloseIdleConnections()
	fresh.CloseIdleConnections()
	if err := d.empty(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPausedPortIsNotIdleWhileACallIsUnderWay(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	d, url := openHTTPPort(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	answer := ask(t, http.DefaultClient, url)
	<-arrived
	d.pause()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.idle(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a call under way: %v", err)
	}
	close(release)
	<-answer
	if err := d.idle(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSuccessorSeesWhereAPassedCallComesFrom(t *testing.T) {
	var source string
	var headers http.Header
	serves := func(w http.ResponseWriter, r *http.Request) { source, headers = r.RemoteAddr, r.Header }
	first, url := openHTTPPort(t, serves)
	second, _ := openHTTPPort(t, serves)
	third, _ := openHTTPPort(t, serves)
	// Linux answers on all of 127.0.0.0/8, so that a client can be told from the processes.
	client := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}}).DialContext}}
	send := func(header ...string) {
		t.Helper()
		request, err := http.NewRequest("GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Add(header[i], header[i+1])
		}
		source = ""
		res, err := client.Do(request)
		if err != nil {
			t.Skipf("no client at another address of the loopback: %v", err)
		}
		res.Body.Close()
		if !strings.HasPrefix(source, "127.9.9.9:") {
			t.Errorf("with the header %v the call comes from %q", header, source)
		}
		if len(headers.Values(sourceHeader)) > 0 {
			t.Errorf("the handler sees %v", headers.Values(sourceHeader))
		}
	}
	forged := []string{sourceHeader, "10.1.2.3:4", "Connection", "keep-alive, " + sourceHeader}
	guessed := []string{sourceHeader, "some-other-secret 10.1.2.3:4"}
	send()
	send(forged...)
	send(guessed...)
	first.forwardTo(second.Addr().String())
	send()
	send(forged...)
	send(guessed...)
	// The successor's successor.
	second.forwardTo(third.Addr().String())
	send()
	send(guessed...)
	// A sender that knows the secret is believed, unless it sends nonsense.
	send(sourceHeader, testPass+" nowhere")
	send(sourceHeader, testPass+" 10.1.2.3:4", sourceHeader, testPass+" 10.1.2.3:5")
}

func TestPortPassesCallsOnOldConnectionsToTheSuccessor(t *testing.T) {
	d, url := openHTTPPort(t, says("old"))
	var host string
	successor, _ := openHTTPPort(t, func(w http.ResponseWriter, r *http.Request) {
		host = r.Host
		fmt.Fprint(w, "new")
	})
	client := &http.Client{Transport: &http.Transport{}}
	if got := <-ask(t, client, url); got != "old" {
		t.Fatalf("the port answers %q", got)
	}
	d.pause()
	waiting := ask(t, client, url)
	d.forwardTo(successor.Addr().String())
	if got := <-waiting; got != "new, and the end" {
		t.Errorf("the port answers %q", got)
	}
	if "http://"+host != url {
		t.Errorf("the successor sees the host %q, which is signed as %s", host, url)
	}
}
