package proxy

import (
	"errors"
	"runtime/debug"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/downstream/http1"
	"trellis/internal/proxy/wire/clienthello"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// serve carries a connection that has been accepted, until it ends or is parked.
func (p *Proxy) serve(c *downstream.Conn) {
	parks := false
	defer func() { p.leave(c, parks, recover()) }()
	if !mayBeTLS(c.Client.Port) {
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

// leave ends a connection, or parks it. problem is what it panicked with, if it did.
func (p *Proxy) leave(c *downstream.Conn, parks bool, problem any) {
	if problem != nil {
		p.cfg.Log.Error("panic in an exchange", "problem", problem, "stack", string(debug.Stack()))
		c.Break()
	} else if parks {
		go p.resume(c)
		return
	}
	if c.MakesRoom() { // Counted before anybody can see that it is closed.
		p.crowd.closed.Happened(1, "limit", p.cfg.Limits.Clients)
	}
	c.End()
	p.remove(c)
}

// serveHTTP1 carries a connection that speaks HTTP/1.1, or turns out to speak HTTP/2. It returns whether the connection is
// to be parked.
func (p *Proxy) serveHTTP1(c *downstream.Conn, opening *downstream.Opening) (parks bool) {
	outcome, rest := p.http1.Serve(c, opening)
	if outcome == http1.Switches {
		p.http2.Serve(c, rest)
	}
	return outcome == http1.Parks
}

// mayBeTLS reports whether a connection to a port may be one of TLS: HTTP, HTTPS and TLS_PASSTHROUGH listeners can share
// a port, and the first byte tells.
func mayBeTLS(port *routing.Port) bool {
	return port.Serves(shape.ListenerProtocolHttps) || port.Serves(shape.ListenerProtocolTlsPassthrough)
}

// serveTLS carries a connection that begins with a ClientHello: that says to whom it is to go
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/https-listeners.html, tls-listeners.html; A-305).
func (p *Proxy) serveTLS(c *downstream.Conn, opening *downstream.Opening) (parks bool) {
	taken := false
	defer func() {
		if !taken {
			opening.Release(p.env)
		}
	}()
	// It holds until the end of the handshake.
	c.Enter(downstream.ReadingHead, p.cfg.HeadTimeout.Milliseconds())
	name, n, err := clienthello.Parse(opening.Bytes())
	for n == 0 && err == nil {
		if c.AwaitMore(opening) != nil {
			p.handshakes.failed.Add(1)
			return false // A client that takes so long would hardly read an alert.
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
	switch {
	case service == nil || service.Protocol == shape.ListenerProtocolHttp || !p.reaches(c, service):
		p.handshakes.refused.Add(1)
		c.Alert(downstream.AlertUnrecognizedName)
		return false
	case service.Protocol == shape.ListenerProtocolTlsPassthrough:
		taken = true
		p.passthrough.Serve(c, opening, n, name, service)
		return false
	case p.cfg.Certificate == nil:
		c.Alert(downstream.AlertInternalError)
		return false
	}
	serverName := string(name) // The opening will be gone.
	protocol, err := c.Secure(p.tls, opening, serverName, service)
	taken = true
	opening.Release(p.env)
	if err != nil {
		p.handshakes.failed.Add(1)
		p.cfg.Log.Debug("TLS handshake failed", "source", c.Client.Source, "name", serverName, "error", err)
		return false
	}
	p.handshakes.completed.Add(1)
	switch protocol {
	case "h2":
		p.http2.Serve(c, nil)
		return false
	default:
		return p.serveHTTP1(c, nil)
	}
}

// reaches reports whether a client reaches a service from where it is.
func (p *Proxy) reaches(c *downstream.Conn, service *routing.Service) bool {
	reached, _ := service.From(c.Client.Origin)
	if reached == nil {
		p.cfg.Log.Debug("a client cannot reach the service", "source", c.Client.Source, "service", service.ID, "problem", service.Unreachable(c.Client.Origin))
	}
	return reached != nil
}
