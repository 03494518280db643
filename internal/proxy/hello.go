package proxy

import (
	"errors"

	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/wire/clienthello"
	"trellis/internal/shape"
)

// Alerts of TLS that end a connection before anybody has answered its ClientHello (RFC 8446 6.2).
const (
	alertInternalError    = 80
	alertMissingExtension = 109
	alertUnrecognizedName = 112
)

// mayBeTLS says whether a connection to the listener may be one of TLS: HTTP, HTTPS and TLS_PASSTHROUGH listeners can
// share a port, and the first byte tells.
func (l *listener) mayBeTLS() bool {
	return l.port.Serves(shape.ListenerProtocolHttps) || l.port.Serves(shape.ListenerProtocolTlsPassthrough)
}

// start finds out what the client speaks, and to whom. It returns how far that leads.
func (c *connection) start() progress {
	if err := c.awaitFirst(); err != nil {
		c.waitFailed(err)
		return ended
	}
	x := c.x
	if !clienthello.Begins(x.in[x.start]) {
		return c.advance()
	}
	// It holds until the end of the handshake.
	c.enter(phaseHead, c.proxy.cfg.HeadTimeout.Milliseconds())
	for {
		name, n, err := clienthello.Parse(x.in[x.start:x.end])
		if violation, ok := errors.AsType[clienthello.Violation](err); ok {
			return c.alert(violation.Alert())
		}
		if n > 0 {
			return c.startTLS(name, n)
		}
		if n, _ = c.conn.Read(c.room()); n == 0 {
			return ended // Who takes so long would not understand an alert either.
		}
		x.end += n
	}
}

// awaitFirst waits for the client's first bytes, without holding a buffer for them.
func (c *connection) awaitFirst() error {
	if c.raw == nil {
		n, err := c.conn.Read(c.room())
		if n > 0 {
			c.x.end, err = n, nil
		}
		return err
	}
	var failed error
	read := func(fd uintptr) bool {
		n, wait, err := socket.Read(fd, c.room())
		if wait {
			c.rest()
			return false
		}
		c.x.end, failed = n, err
		return true
	}
	err := c.raw.Read(read)
	for err != nil && c.mayNap() { // Nothing would be won: this goroutine's stack is still small.
		err = c.raw.Read(read)
	}
	if err == nil {
		err = failed
	}
	return err
}

// startTLS goes on with a client that asks for a server name, or must (UG https-listeners, tls-listeners; A-305). Its
// ClientHello takes n bytes.
func (c *connection) startTLS(name []byte, n int) progress {
	if len(name) == 0 {
		return c.alert(alertMissingExtension) // RFC 8446 9.2
	}
	service := c.listener.port.Lookup(name)
	switch {
	case service == nil || service.Protocol == shape.ListenerProtocolHttp:
		return c.alert(alertUnrecognizedName)
	case service.Protocol == shape.ListenerProtocolTlsPassthrough:
		c.passThrough(name, c.x.in[c.x.start:c.x.start+n], service)
		return ended
	case c.proxy.cfg.Certificate == nil:
		return c.alert(alertInternalError)
	default:
		return c.secure(name, service)
	}
}

// alert ends a connection of TLS on which nothing has been said yet.
func (c *connection) alert(description byte) progress {
	const record, fatal = 21, 2
	if _, err := c.accepted.Write([]byte{record, 3, 3, 0, 2, fatal, description}); err == nil {
		c.lingers = true
	}
	return ended
}
