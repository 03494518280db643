package proxy

import (
	"errors"
	"runtime/debug"
	"slices"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/downstream/http1"
	"trellis/internal/proxy/downstream/http2"
	"trellis/internal/proxy/downstream/passthrough"
	"trellis/internal/proxy/wire/clienthello"
	wirehttp2 "trellis/internal/proxy/wire/http2"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// protocol is a protocol of listeners.
type protocol struct {
	name shape.ListenerProtocol
	// secure carries a connection that begins with a ClientHello, which names a service of the protocol. It takes over the hello
	// and returns whether the connection should be parked. It is nil for a protocol without TLS.
	secure func(c *downstream.Conn, hello *hello, service *routing.Service) (parks bool)
}

// hello is the beginning of a TLS connection.
type hello struct {
	opening *downstream.Opening
	bytes   int    // the length of the ClientHello in the opening
	name    []byte // the server's name, in the opening
}

// protocols has what carries connections: the protocols of listeners, and a server for each protocol that clients speak.
type protocols struct {
	known []protocol

	http1       *http1.Server
	http2       *http2.Server
	passthrough *passthrough.Server
}

func (p *Proxy) newProtocols(endpoint *wirehttp2.Endpoint) protocols {
	return protocols{
		known: []protocol{
			{name: shape.ListenerProtocolHttp},
			{name: shape.ListenerProtocolHttps, secure: p.serveHTTPS},
			{name: shape.ListenerProtocolTlsPassthrough, secure: p.passThrough},
		},
		http1:       http1.NewServer(p.env),
		http2:       http2.NewServer(p.env, endpoint),
		passthrough: passthrough.NewServer(p.env, p.cfg.Limits.Pipes),
	}
}

// close frees what the servers keep.
func (p *protocols) close() { p.passthrough.Close() }

// serves reports whether a service answers on a port.
func (p *protocols) serves(port *routing.Port) bool {
	return slices.ContainsFunc(p.known, func(known protocol) bool { return port.Serves(known.name) })
}

// mayBeTLS reports whether a connection to a port may begin with a ClientHello. Listeners of all protocols can share a port:
// the first byte of a connection decides.
func (p *protocols) mayBeTLS(port *routing.Port) bool {
	return slices.ContainsFunc(p.known, func(known protocol) bool { return known.secure != nil && port.Serves(known.name) })
}

// securer returns the function that carries TLS connections to a service, or nil if there is none.
func (p *protocols) securer(service *routing.Service) func(*downstream.Conn, *hello, *routing.Service) (parks bool) {
	for _, known := range p.known {
		if service != nil && service.Protocol == known.name {
			return known.secure
		}
	}
	return nil
}

// serve carries a connection that has been accepted, until it ends or is parked.
func (p *Proxy) serve(c *downstream.Conn) {
	parks := false
	defer func() { p.leave(c, parks, recover()) }()
	if !p.protocols.mayBeTLS(c.Client.Port) {
		parks = p.serveHTTP1(c, nil)
		return
	}
	opening, err := c.Await()
	switch {
	case err != nil:
	case clienthello.Begins(opening.Bytes()[0]):
		parks = p.serveTLS(c, opening)
	default:
		parks = p.serveHTTP1(c, opening)
	}
}

// resume carries a connection that has been parked. It needs a goroutine of its own: see Park.
func (p *Proxy) resume(c *downstream.Conn) {
	parks := false
	defer func() { p.leave(c, parks, recover()) }()
	c.Park()
	parks = p.serveHTTP1(c, nil)
}

// leave ends a connection, or parks it. problem is the value of a panic, or nil.
func (p *Proxy) leave(c *downstream.Conn, parks bool, problem any) {
	if problem != nil {
		p.cfg.Log.Error("panic in an exchange", "problem", problem, "stack", string(debug.Stack()))
		c.Break()
	} else if parks {
		go p.resume(c)
		return
	}
	if c.MakesRoom() { // It is counted before the client can see that it is closed.
		p.crowd.closed.Happened(1, "limit", p.cfg.Limits.Clients)
	}
	c.End()
	p.remove(c)
}

// serveHTTP1 carries a connection that speaks HTTP/1.1, or turns out to speak HTTP/2. It returns whether the connection should
// be parked.
func (p *Proxy) serveHTTP1(c *downstream.Conn, opening *downstream.Opening) (parks bool) {
	outcome, rest := p.protocols.http1.Serve(c, opening)
	if outcome == http1.Switches {
		p.protocols.http2.Serve(c, rest)
	}
	return outcome == http1.Parks
}

// serveTLS carries a connection that begins with a ClientHello, which says to which service it goes
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/https-listeners.html, tls-listeners.html; A-305).
func (p *Proxy) serveTLS(c *downstream.Conn, opening *downstream.Opening) (parks bool) {
	taken := false
	defer func() {
		if !taken {
			opening.Release(p.env)
		}
	}()
	// The timeout holds until the end of the handshake.
	c.Enter(downstream.ReadingHead, p.cfg.HeadTimeout.Milliseconds())
	name, n, err := clienthello.Parse(opening.Bytes())
	for n == 0 && err == nil {
		if c.AwaitMore(opening) != nil {
			p.handshakes.failed.Add(1)
			return false // A client that takes that long is not likely to read an alert.
		}
		name, n, err = clienthello.Parse(opening.Bytes())
	}
	if violation, ok := errors.AsType[clienthello.Violation](err); ok {
		p.handshakes.failed.Add(1)
		c.Alert(violation.Alert())
		return false
	}
	if len(name) == 0 {
		p.handshakes.refused.Add(1)
		c.Alert(downstream.AlertMissingExtension) // RFC 8446 9.2
		return false
	}
	service := c.Client.Port.Lookup(name)
	secure := p.protocols.securer(service)
	if secure == nil || !p.reaches(c, service) {
		p.handshakes.refused.Add(1)
		c.Alert(downstream.AlertUnrecognizedName)
		return false
	}
	taken = true
	return secure(c, &hello{opening, n, name}, service)
}

// serveHTTPS carries a connection to a service with a listener for HTTPS.
func (p *Proxy) serveHTTPS(c *downstream.Conn, hello *hello, service *routing.Service) (parks bool) {
	if p.cfg.Certificate == nil {
		hello.opening.Release(p.env)
		c.Alert(downstream.AlertInternalError)
		return false
	}
	name := string(hello.name) // The handshake releases the opening, which holds the name.
	protocol, err := c.Secure(p.tls, hello.opening, name, service)
	hello.opening.Release(p.env)
	if err != nil {
		p.handshakes.failed.Add(1)
		p.cfg.Log.Debug("TLS handshake failed", "source", c.Client.Source, "name", name, "error", err)
		return false
	}
	p.handshakes.completed.Add(1)
	if protocol == "h2" {
		p.protocols.http2.Serve(c, nil)
		return false
	}
	return p.serveHTTP1(c, nil)
}

// passThrough carries a connection to a service with a listener for TLS_PASSTHROUGH.
func (p *Proxy) passThrough(c *downstream.Conn, hello *hello, service *routing.Service) (parks bool) {
	p.protocols.passthrough.Serve(c, hello.opening, hello.bytes, hello.name, service)
	return false
}

// reaches reports whether a client reaches a service from where it is.
func (p *Proxy) reaches(c *downstream.Conn, service *routing.Service) bool {
	reached, _ := service.From(c.Client.Origin)
	if reached == nil {
		p.cfg.Log.Debug("a client cannot reach the service", "source", c.Client.Source, "service", service.ID, "problem", service.Unreachable(c.Client.Origin))
	}
	return reached != nil
}
