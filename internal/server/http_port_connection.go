package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"trellis/internal/summary"
)

// handshakeRecord is how a TLS handshake begins (RFC 8446 5.1). No method of HTTP does.
const handshakeRecord = 22

// portConnection is a client's connection. It speaks TLS if the client's first byte says so. The HTTP server knows nothing of
// that: its first read makes the handshake, within the time for the head of the first request.
type portConnection struct {
	net.Conn // TCP
	config   *tls.Config
	failed   *summary.Summary // handshakes

	began  bool // the first bytes have come; only the reader uses this field
	secure atomic.Pointer[tls.Conn]

	// The port's mu guards the fields below.

	idle  bool // no request is under way; a request counts from its complete head
	used  bool // it has carried a request
	since time.Time
}

// Read implements net.Conn.
func (c *portConnection) Read(p []byte) (int, error) {
	if secure := c.secure.Load(); secure != nil {
		return secure.Read(p)
	}
	n, err := c.Conn.Read(p)
	if c.began || n == 0 {
		return n, err
	}
	c.began = true
	if p[0] != handshakeRecord {
		return n, err
	}
	secure := tls.Server(&unread{Conn: c.Conn, bytes: bytes.Clone(p[:n])}, c.config)
	c.secure.Store(secure)
	if err := secure.Handshake(); err != nil {
		c.failed.Happened(1, "source", c.RemoteAddr().String(), "error", err)
		return 0, io.EOF // No response can be sent.
	}
	return secure.Read(p)
}

// Write implements net.Conn.
func (c *portConnection) Write(p []byte) (int, error) {
	if secure := c.secure.Load(); secure != nil {
		return secure.Write(p)
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *portConnection) Close() error {
	if secure := c.secure.Load(); secure != nil {
		return secure.Close()
	}
	return c.Conn.Close()
}

// CloseWrite says that nothing follows, as the HTTP server does before it closes a connection whose client still sends.
func (c *portConnection) CloseWrite() error {
	if secure := c.secure.Load(); secure != nil {
		return secure.CloseWrite()
	}
	return c.Conn.(*net.TCPConn).CloseWrite()
}

// abort closes the connection without TLS's alert to the client, which might have to wait. The reader notices.
func (c *portConnection) abort() { _ = c.Conn.Close() }

// unread is a connection with bytes that were read already, which Read returns again.
type unread struct {
	net.Conn
	bytes []byte
}

// Read implements net.Conn.
func (c *unread) Read(p []byte) (int, error) {
	if len(c.bytes) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.bytes)
	c.bytes = c.bytes[n:]
	return n, nil
}

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

// stateOf returns the TLS that a request came over, or nil.
func stateOf(r *http.Request) *tls.ConnectionState {
	conn, _ := r.Context().Value(connectionKey{}).(*portConnection)
	if conn == nil {
		return nil
	}
	secure := conn.secure.Load()
	if secure == nil {
		return nil
	}
	state := secure.ConnectionState()
	return &state
}
