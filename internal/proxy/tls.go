package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"

	"trellis/internal/lattice"
	"trellis/internal/proxy/socket"
	"trellis/internal/routing"
)

// TLS is what is known of a client's TLS connection, in the words of the access log.
type TLS struct {
	// ServerName is the name that the client asked for.
	ServerName string
	// Version is "TLSv1.2" or "TLSv1.3", and Cipher OpenSSL's name of the cipher suite. Both are empty on
	// TLS_PASSTHROUGH listeners, which cannot see them.
	Version string
	Cipher  string
}

// secured is the TLS of a client's connection. There is none on HTTP listeners.
type secured struct {
	conn *tls.Conn
	wire tlsWire
	// serverName is what the client asked for. It selects the service, here and for every request.
	serverName []byte
	service    *routing.Service // as it was at the handshake
	facts      TLS
}

// newTLSConfig returns the configuration of all HTTPS listeners. What differs between them is the certificate. They
// share the keys of session tickets, which crypto/tls replaces every day: a session can be resumed under another name,
// but the name given then decides where the requests go (RFC 8446 4.6.1).
func (p *Proxy) newTLSConfig() *tls.Config {
	return keepHTTP2FromOldSuites(&tls.Config{
		MinVersion: tls.VersionTLS12,
		// Those of AWS (UG https-listeners) with an ephemeral key, and the same for ECDSA. Those of TLS 1.3 are
		// not a choice.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		},
		NextProtos: []string{"h2", "http/1.1"}, // In this order of preference (UG https-listeners).
		// Small records first would mean several writes for one response.
		DynamicRecordSizingDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return hello.Conn.(*tlsWire).connection.certificate()
		},
	})
}

// certificate returns the certificate for the name that the client asked for.
func (c *connection) certificate() (*tls.Certificate, error) {
	name, service := strings.ToLower(string(c.secured.serverName)), c.secured.service
	if name == lattice.CanonicalDomainName(service.CustomDomainName) {
		return c.proxy.cfg.Certificate(name, service.CertificateARN)
	}
	return c.proxy.cfg.Certificate(name, "")
}

// serverName returns the name that the client asked for, or nil if there is no TLS.
func (c *connection) serverName() []byte {
	if c.secured == nil {
		return nil
	}
	return c.secured.serverName
}

// secure makes the TLS handshake, whose ClientHello is in x.in. It returns how far that leads.
func (c *connection) secure(serverName []byte, service *routing.Service) progress {
	x := c.x
	s := &secured{serverName: []byte(string(serverName)), service: service}
	s.wire = tlsWire{Conn: c.accepted, connection: c, early: x.in[x.start:x.end]}
	s.conn = tls.Server(&s.wire, c.proxy.tls)
	c.secured = s
	if err := c.handshake(s.conn); err != nil {
		c.proxy.cfg.Log.Debug("TLS handshake failed", "source", c.source, "name", string(s.serverName), "error", err)
		c.lingers = true // An alert may be on its way.
		return ended
	}
	dropBuffers(s.conn)
	s.wire.early = []byte(string(s.wire.early)) // Nothing, unless the client sent more than it should.
	x.start, x.end = 0, 0
	c.rest()
	state := s.conn.ConnectionState()
	s.facts = TLS{ServerName: string(s.serverName), Version: versionName(state.Version), Cipher: cipherName(state.CipherSuite)}
	c.conn = s.conn
	c.forwarded = appendForwarded(c.forwarded[:0], c.source.Addr(), c.listener.port.Number, "https")
	c.idleMillis = service.IdleTimeout.Milliseconds()
	c.enter(phaseIdle, c.idleMillis)
	if state.NegotiatedProtocol == "h2" {
		c.isHTTP2 = true
		return ended
	}
	return needsBytes
}

// handshake makes a TLS handshake on a goroutine of its own. It needs a large stack, which goes with that goroutine;
// the connection's own would keep it for as long as the collector takes to notice, and there may be many of them.
func (c *connection) handshake(conn *tls.Conn) error {
	made := make(chan error, 1)
	go func() {
		err := errHandshakePanicked
		defer func() { made <- err }()
		defer c.recovered("panic in a TLS handshake")
		err = conn.Handshake()
	}()
	return <-made
}

var errHandshakePanicked = errors.New("panic in the handshake")

// tlsWire is the TCP connection below TLS. While the connection is inside onReadable, it makes system calls like the
// connection itself, and tells crypto/tls that a read has timed out when there is nothing to read: that leaves a record
// of which only a part has come where it is.
type tlsWire struct {
	net.Conn
	connection *connection
	early      []byte // what has been read before TLS began
}

func (w *tlsWire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early)
		w.early = w.early[n:]
		return n, nil
	}
	if !w.connection.inside {
		return w.Conn.Read(p)
	}
	n, wait, err := socket.Read(w.connection.fd, p)
	if wait {
		return 0, errNothingYet
	}
	return n, err
}

func (w *tlsWire) Write(p []byte) (int, error) {
	if !w.connection.inside {
		return w.Conn.Write(p)
	}
	n, wait, err := socket.Write(w.connection.fd, p)
	if !wait || err != nil {
		return n, err
	}
	m, err := w.Conn.Write(p[n:])
	return n + m, err
}

// errNothingYet is what tlsWire returns instead of waiting.
var errNothingYet net.Error = nothingYet{}

type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing has come yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// readInside reads what the client has sent. wait says that there is nothing yet.
func (c *connection) readInside(p []byte) (n int, wait bool, err error) {
	if c.secured == nil {
		return socket.Read(c.fd, p)
	}
	n, err = c.secured.conn.Read(p)
	switch {
	case n > 0:
		return n, false, nil
	case err == errNothingYet:
		return 0, true, nil
	default:
		return 0, false, err
	}
}

// versionName returns the name of a version of TLS as the access log has it.
func versionName(version uint16) string {
	switch version {
	case tls.VersionTLS12:
		return "TLSv1.2"
	case tls.VersionTLS13:
		return "TLSv1.3"
	default:
		return ""
	}
}

// cipherName returns OpenSSL's name of a cipher suite. Those of TLS 1.3 have but one name.
func cipherName(suite uint16) string {
	switch suite {
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		return "ECDHE-ECDSA-AES128-GCM-SHA256"
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
		return "ECDHE-RSA-AES128-GCM-SHA256"
	case tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return "ECDHE-ECDSA-AES256-GCM-SHA384"
	case tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		return "ECDHE-RSA-AES256-GCM-SHA384"
	case tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA:
		return "ECDHE-ECDSA-AES128-SHA"
	case tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:
		return "ECDHE-RSA-AES128-SHA"
	case tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA:
		return "ECDHE-ECDSA-AES256-SHA"
	case tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA:
		return "ECDHE-RSA-AES256-SHA"
	default:
		return tls.CipherSuiteName(suite)
	}
}
