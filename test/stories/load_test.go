package stories_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
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

// The responses of the backends.
const greeting = "hello"

var largeBody = strings.Repeat("0123456789abcdef", 64<<10) // 1 MB

// backend is a target that answers /echo with the request's body, /large with largeBody, an upgrade with what is sent
// afterwards, and all else with a greeting.
type backend struct {
	port    int32
	drained atomic.Bool // no more requests may come
	late    atomic.Int64
}

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.count()
	switch {
	case r.URL.Path == "/echo":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Write(body)
	case r.URL.Path == "/large":
		io.WriteString(w, largeBody)
	case r.Header.Get("Upgrade") != "":
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err == nil {
			// the client ends it
			_, _ = io.Copy(conn, buffered)
		}
	default:
		io.WriteString(w, greeting)
	}
}

// count counts a request that must not come.
func (b *backend) count() {
	if b.drained.Load() {
		b.late.Add(1)
	}
}

// listensOn notes the address of what serves the backend.
func (b *backend) listensOn(address net.Addr) *backend {
	b.port = int32(address.(*net.TCPAddr).Port)
	return b
}

func startBackend(t *testing.T) *backend {
	t.Helper()
	b := new(backend)
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	return b.listensOn(server.Listener.Addr())
}

// startHTTP2Backend starts a backend that speaks HTTP/2 without TLS only.
func startHTTP2Backend(t *testing.T) *backend {
	t.Helper()
	b := new(backend)
	server := httptest.NewUnstartedServer(b)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return b.listensOn(server.Listener.Addr())
}

// startTLSBackend starts a backend with a certificate for the name of the TLS that is passed through.
func startTLSBackend(t *testing.T) *backend {
	t.Helper()
	certificate := must(tls.LoadX509KeyPair(newInventory(t, sealedHost).pair(0)))(t)
	b := new(backend)
	server := httptest.NewUnstartedServer(b)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return b.listensOn(server.Listener.Addr())
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
		time.Sleep(time.Millisecond) // Sleeps: the pace of the load. Other tests need the processors too.
	}
	return nil
}

// exchangeLimit keeps a request that hangs from hanging the test.
const exchangeLimit = time.Minute

// keptClient makes requests over one connection, and opens a new one only if the server said that it would close the last.
// It retries nothing, unlike http.Client, which would hide failures.
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

// do makes one request, hands the response to read, and checks that all of it was read.
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
		return fmt.Errorf("reading the response: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("the response is %s %q", response.Status, text)
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

// readSlowly reads a response piece by piece, slower than it comes.
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
			time.Sleep(5 * time.Millisecond) // Sleeps: a client that reads slowly.
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

func dialTCP(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("tcp", address) }
}

// dialTLS connects as a client that trusts every authority, but verifies the name of the certificate.
func dialTLS(address, host string) func() (net.Conn, error) {
	return func() (net.Conn, error) {
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
}

// upgradeAndEcho upgrades a new connection, on which it sends some messages and expects each back.
func (c *keptClient) upgradeAndEcho(messages int) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	c.conn, c.reader = conn, bufio.NewReader(conn)
	conn.SetDeadline(time.Now().Add(exchangeLimit))
	if _, err := fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", c.host); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("the response to the upgrade is %s", response.Status)
	}
	for range messages {
		message := randomBytes(1 + rand.IntN(10_000))
		if _, err := conn.Write(message); err != nil {
			return err
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(c.reader, got); err != nil {
			return fmt.Errorf("reading a message: %w", err)
		}
		if !bytes.Equal(got, message) {
			return errors.New("a message comes back changed")
		}
		time.Sleep(5 * time.Millisecond) // Sleeps: a client's pace.
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if rest, err := io.ReadAll(c.reader); err != nil || len(rest) > 0 {
		return fmt.Errorf("after the end of the upgraded connection %d bytes come, and %v", len(rest), err)
	}
	return nil
}
