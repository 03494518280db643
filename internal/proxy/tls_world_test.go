package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"trellis/internal/certificate"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// customHost is the custom domain name of svc-1 in the worlds below.
const customHost = "shop.example.test"

// secureWorld is a world with certificates, and clients that trust them.
type secureWorld struct {
	*world
	roots     *x509.CertPool
	authority *certificate.Authority

	mu     sync.Mutex
	custom *tls.Certificate // what the inventory knows
}

const customARN = "arn:aws:acm:us-west-2:111122223333:certificate/1"

// openAuthority opens the authority of all worlds. Its files were a quarter of what a test with TLS cost.
var openAuthority = sync.OnceValues(func() (*certificate.Authority, error) {
	dir, err := os.MkdirTemp("", "authority")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // Once it is open, it does not need them.
	return certificate.OpenAuthority(dir)
})

func newSecureWorld(t testing.TB, change ...func(*Config)) *secureWorld {
	t.Helper()
	authority, err := openAuthority()
	if err != nil {
		t.Fatal(err)
	}
	w := &secureWorld{authority: authority, roots: x509.NewCertPool()}
	w.roots.AppendCertsFromPEM(authority.PEM())
	store := certificate.NewStore(certificate.Config{Authority: authority, Known: func(arn string) (*tls.Certificate, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.custom, w.custom != nil && arn == customARN
	}})
	w.world = newWorld(t, append([]func(*Config){func(cfg *Config) { cfg.Certificate = store.Certificate }}, change...)...)
	return w
}

// listen makes a service with a listener whose default rule forwards to a target group. svc-1 has a custom domain name.
func (w *secureWorld) listen(id string, protocol shape.ListenerProtocol, port int32, group string) {
	service := &lattice.Service{Base: w.base(id), DomainName: id + ".lattice.test", IdleTimeoutSeconds: 60}
	if id == "svc-1" {
		service.CustomDomainName, service.CertificateARN = customHost, customARN
	}
	w.put(
		service,
		&lattice.ServiceNetworkServiceAssociation{Base: w.base("snsa-" + id), ServiceID: id, ServiceNetworkID: "sn-1"},
		&lattice.Listener{Base: w.base("listener-" + id), ServiceID: id, Protocol: protocol, Port: port, DefaultRuleID: "rule-default"},
		&lattice.Rule{Base: w.base("rule-default"), ServiceID: id, ListenerID: "listener-" + id, IsDefault: true,
			Priority: lattice.DefaultRulePriority, Action: forwardTo(group), TargetGroupIDs: []string{group}},
	)
}

// https makes svc-1 with an HTTPS listener on port 443, and targets.
func (w *secureWorld) https(targets ...string) {
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttp, targets...)
	w.listen("svc-1", shape.ListenerProtocolHttps, 443, "tg-1")
}

// passthrough makes svc-1 with a TLS_PASSTHROUGH listener on port 443, and targets.
func (w *secureWorld) passthrough(targets ...string) {
	records := []lattice.Record{&lattice.TargetGroup{Base: w.base("tg-1"), Type: shape.TargetGroupTypeIp,
		Config: &shape.TargetGroupConfig{Port: new(int32(443)), Protocol: shape.TargetGroupProtocolTcp}}}
	w.put(append(records, w.targets("tg-1", targets...))...)
	w.listen("svc-1", shape.ListenerProtocolTlsPassthrough, 443, "tg-1")
}

// client returns the configuration of a client that trusts the authority.
func (w *secureWorld) client(serverName string) *tls.Config {
	return &tls.Config{ServerName: serverName, RootCAs: w.roots}
}

// tls connects to port 443 and makes the handshake. below wraps the connection that TLS runs over.
func (w *secureWorld) tls(cfg *tls.Config, below ...func(net.Conn) net.Conn) (*tlsClient, error) {
	w.t.Helper()
	conn := w.dialPort(443).Conn
	for _, f := range below {
		conn = f(conn)
	}
	secured := tls.Client(conn, cfg)
	if err := secured.Handshake(); err != nil {
		return nil, err
	}
	return &tlsClient{client: &client{w.t, secured, bufio.NewReader(secured)}, tls: secured, tcp: conn}, nil
}

// tlsClient is a connection to the proxy over TLS.
type tlsClient struct {
	*client
	tls *tls.Conn
	tcp net.Conn
}

// dialTLS connects as a client of a name.
func (w *secureWorld) dialTLS(serverName string) *tlsClient {
	w.t.Helper()
	c, err := w.tls(w.client(serverName))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// secureBackend is a target that speaks TLS itself: serve is called for each connection.
func secureBackend(t testing.TB, cfg *tls.Config, serve func(conn *tls.Conn)) string {
	t.Helper()
	return trellistest.ServeTCP(t, func(conn *net.TCPConn) { serve(tls.Server(conn, cfg)) }).String()
}

// site returns the configuration of a server of a name with a certificate from the authority.
func (w *secureWorld) site(name string) *tls.Config {
	w.t.Helper()
	store := certificate.NewStore(certificate.Config{Authority: w.authority})
	made, err := store.Certificate(name, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*made}}
}

// echoTLS sends back what comes, and ends when that ends.
func echoTLS(conn *tls.Conn) {
	io.Copy(conn, conn)
	conn.CloseWrite()
}

// slowly is a connection that sends one byte at a time.
type slowly struct{ net.Conn }

func (s slowly) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := s.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		if i%100 == 0 {
			time.Sleep(time.Millisecond) // Sleeps: a client's pace, so that the pieces do not come together.
		}
	}
	return len(p), nil
}

// fragmenting is a connection that spreads a ClientHello over records of one byte.
type fragmenting struct {
	net.Conn
	done bool
}

func (f *fragmenting) Write(p []byte) (int, error) {
	if f.done {
		return f.Conn.Write(p)
	}
	f.done = true
	var sent []byte
	for _, c := range p[5:] {
		sent = append(sent, p[0], p[1], p[2], 0, 1, c)
	}
	if _, err := f.Conn.Write(sent); err != nil {
		return 0, err
	}
	return len(p), nil
}

// counting is a connection that counts the records that come.
type counting struct {
	net.Conn
	seen []byte
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.seen = append(c.seen, p[:n]...)
	return n, err
}

// records returns the lengths of the records that have come, and forgets them.
func (c *counting) records() []int {
	var lengths []int
	for b := c.seen; len(b) >= 5; {
		n := int(b[3])<<8 | int(b[4])
		lengths = append(lengths, n)
		b = b[min(5+n, len(b)):]
	}
	c.seen = nil
	return lengths
}
