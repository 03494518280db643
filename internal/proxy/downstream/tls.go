package downstream

import (
	"crypto/tls"
	"errors"
	"net"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/socket"
	"trellis/internal/routing"
)

// secured is the TLS of a client's connection.
type secured struct {
	conn *tls.Conn
	wire Wire
}

// Secure makes the TLS handshake, whose ClientHello is in the opening. It returns the protocol that was agreed on.
func (c *Conn) Secure(config *tls.Config, opening *Opening, serverName string, service *routing.Service) (protocol string, err error) {
	s := &secured{}
	s.wire = Wire{Conn: c.conn, ServerName: serverName, Service: service, connection: c, early: opening.Bytes()}
	s.conn = tls.Server(&s.wire, config)
	c.secured = s
	err = c.handshake(s.conn)
	s.wire.early = []byte(string(s.wire.early)) // It is empty unless the client sent more than it should.
	if err != nil {
		c.Linger() // An alert may be on its way.
		return "", err
	}
	dropBuffers(s.conn)
	state := s.conn.ConnectionState()
	c.conn = s.conn
	c.Client.ServerName = []byte(s.wire.ServerName)
	c.Client.TLS = &accesslog.TLS{
		ServerName: s.wire.ServerName, Version: accesslog.VersionName(state.Version), Cipher: accesslog.CipherName(state.CipherSuite),
	}
	c.Client.Forwarded = exchange.AppendForwarded(c.Client.Forwarded[:0], c.Client.Source.Addr(), c.Client.Port.Number, "https")
	c.IdleMillis = service.IdleTimeout.Milliseconds()
	c.Enter(Idle, c.IdleMillis)
	return state.NegotiatedProtocol, nil
}

// handshake makes a TLS handshake on a goroutine of its own. It needs a large stack, which is freed with that goroutine. The
// connection's own goroutine would keep it until the collector shrinks it, and there may be many such goroutines.
func (c *Conn) handshake(conn *tls.Conn) error {
	made := make(chan error, 1)
	go func() {
		err := errHandshakePanicked
		defer func() { made <- err }()
		defer c.Recovered("a TLS handshake")
		err = conn.Handshake()
	}()
	return <-made
}

var errHandshakePanicked = errors.New("panic in the handshake")

// read is Conn.ReadInside for TLS.
func (s *secured) read(p []byte) (n int, wait bool, err error) {
	n, err = s.conn.Read(p)
	switch {
	case n > 0:
		return n, false, nil
	case err == errNothingYet:
		return 0, true, nil
	default:
		return 0, false, err
	}
}

// Wire is the TCP connection below TLS. In the callback of Wait, it makes system calls as the connection itself does. When there
// is nothing to read, it tells crypto/tls that the read has timed out: crypto/tls then keeps the part of a record that has come.
type Wire struct {
	net.Conn
	// ServerName is the name that the client asked for, and Service the service of that name.
	ServerName string
	Service    *routing.Service

	connection *Conn
	early      []byte // what has been read before TLS began
}

func (w *Wire) Read(p []byte) (int, error) {
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

func (w *Wire) Write(p []byte) (int, error) {
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

// errNothingYet is what Wire returns instead of waiting.
var errNothingYet net.Error = nothingYet{}

type nothingYet struct{}

func (nothingYet) Error() string   { return "nothing has come yet" }
func (nothingYet) Timeout() bool   { return true }
func (nothingYet) Temporary() bool { return true }

// Alerts of TLS that end a connection before anybody has answered its ClientHello (RFC 8446 6.2).
const (
	AlertInternalError    = 80
	AlertMissingExtension = 109
	AlertUnrecognizedName = 112
)

// Alert ends a TLS connection on which nothing has been sent yet.
func (c *Conn) Alert(description byte) {
	const record, fatal = 21, 2
	if _, err := c.conn.Write([]byte{record, 3, 3, 0, 2, fatal, description}); err == nil {
		c.Linger()
	}
}
