package stories_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What the backends answer.
const greeting = "hello"

var largeBody = strings.Repeat("0123456789abcdef", 64<<10) // 1 MB

// backend is a target that answers /echo with the request's body, /large with largeBody, and all else with a greeting.
type backend struct{ port int32 }

func startBackend(t *testing.T) *backend {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/echo":
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.Write(body)
		case "/large":
			io.WriteString(w, largeBody)
		default:
			io.WriteString(w, greeting)
		}
	}))
	t.Cleanup(server.Close)
	return &backend{port: int32(server.Listener.Addr().(*net.TCPAddr).Port)}
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// load makes one kind of request, again and again.
type load struct {
	name     string
	one      func() error
	end      func()
	requests atomic.Int64
}

// run makes requests until ctx ends or one of them fails.
func (l *load) run(ctx context.Context) error {
	if l.end != nil {
		defer l.end()
	}
	for ctx.Err() == nil {
		if err := l.one(); err != nil {
			return err
		}
		l.requests.Add(1)
	}
	return nil
}

// exchangeLimit only keeps a request that hangs from hanging the test.
const exchangeLimit = time.Minute

// keptClient makes requests over one connection, a new one only if the server said that it would close the last. It
// tries nothing twice, unlike http.Client, which would hide failures.
type keptClient struct {
	host   string
	dial   func() (net.Conn, error)
	conn   net.Conn
	reader *bufio.Reader
}

func (c *keptClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// do makes one request, hands the answer to read, and checks that all of it was read.
func (c *keptClient) do(r *http.Request, read func(*http.Response) error) error {
	if c.conn == nil {
		conn, err := c.dial()
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	c.conn.SetDeadline(time.Now().Add(exchangeLimit))
	r.Host = c.host
	if err := r.Write(c.conn); err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	response, err := http.ReadResponse(c.reader, r)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("the answer is %s %q", response.Status, text)
	}
	if err := read(response); err != nil {
		return err
	}
	if response.Close {
		c.close()
	}
	return nil
}

// expect returns a function that compares a body with what it should be.
func expect(want string) func(*http.Response) error {
	return func(response *http.Response) error {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return fmt.Errorf("after %d bytes of the body: %w", len(body), err)
		}
		if string(body) != want {
			return fmt.Errorf("the body of %d bytes is not the %d bytes that were expected", len(body), len(want))
		}
		return nil
	}
}

func newRequest(method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, "http://any"+path, body)
	if err != nil {
		panic(err) // The paths are constants.
	}
	return r
}

func (c *keptClient) get(path, want string) error {
	return c.do(newRequest(http.MethodGet, path, nil), expect(want))
}

// echo sends a body, with its length or in chunks, and expects it back.
func (c *keptClient) echo(body []byte, length bool) error {
	r := newRequest(http.MethodPost, "/echo", bytes.NewReader(body))
	if !length {
		r.ContentLength = -1
	}
	return c.do(r, expect(string(body)))
}

// readSlowly reads an answer piece by piece, slower than it comes.
func (c *keptClient) readSlowly(path, want string) error {
	return c.do(newRequest(http.MethodGet, path, nil), func(response *http.Response) error {
		var body bytes.Buffer
		for {
			_, err := io.CopyN(&body, response.Body, 64<<10)
			if err == io.EOF {
				break
			}
			if err != nil {
				return fmt.Errorf("after %d bytes of the body: %w", body.Len(), err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		if body.String() != want {
			return fmt.Errorf("the body of %d bytes is not what was expected", body.Len())
		}
		return nil
	})
}

// randomBytes returns a body that no other request has.
func randomBytes(n int) []byte {
	var seed [32]byte
	binary.NativeEndian.PutUint64(seed[:], rand.Uint64())
	b := make([]byte, n)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// dialTLS connects as a client that trusts everybody, but insists on the name of the certificate.
func dialTLS(address, host string) (net.Conn, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: host})
	if err != nil {
		return nil, err
	}
	if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname(host); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// http2Client makes requests over HTTP/2.
type http2Client struct {
	host      string
	transport *http.Transport
}

func newHTTP2Client(address, host string) *http2Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http2Client{host: host, transport: &http.Transport{
		Protocols:       protocols,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
}

func (c *http2Client) close() { c.transport.CloseIdleConnections() }

// getAndPost makes a GET and a POST at the same time.
func (c *http2Client) getAndPost() error {
	body := randomBytes(1 + rand.IntN(100_000))
	got := make(chan error, 1)
	go func() { got <- c.do(http.MethodGet, "/", nil, greeting) }()
	err := c.do(http.MethodPost, "/echo", body, string(body))
	if getErr := <-got; err == nil {
		err = getErr
	}
	return err
}

func (c *http2Client) do(method, path string, body []byte, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), exchangeLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "https://"+c.host+path, nil)
	if err != nil {
		return err
	}
	if body != nil {
		// Without GetBody the transport cannot send the request twice.
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s %s is answered with %s %s %q", method, path, response.Proto, response.Status, text)
	}
	return expect(want)(response)
}
