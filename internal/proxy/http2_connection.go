package proxy

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/proxy/wire/http1"
	"trellis/internal/proxy/wire/http2"
)

// multiplexed is a client's connection that speaks HTTP/2. Each of its streams has a goroutine, which does for one
// exchange what the connection's goroutine does for HTTP/1.1.
type multiplexed struct {
	*connection
	frames *http2.Conn
	idle   atomic.Int64 // the idle timeout, in milliseconds, of the service of the last request

	mu      sync.Mutex // mu guards the fields below.
	streams map[*stream]struct{}
}

// http2Config bounds HTTP/2. A client may have 250 streams, each with 128 KB in our hands per direction.
func (p *Proxy) http2Config() http2.Config {
	return http2.Config{
		Now:          p.clock.now,
		MaxStreams:   250,
		StreamWindow: 128 << 10,
		ConnWindow:   8 << 20,
		TargetWindow: 128 << 10,
		MaxHeadBytes: http1.MaxHeadBytes,
		HeadTimeout:  p.cfg.HeadTimeout,
		StallTimeout: p.cfg.IdleTimeout,
	}
}

// isHTTP2 says whether a request that is none of HTTP/1.1 starts the preface of HTTP/2 (RFC 9113 3.4), by which a
// client begins that knows what we speak.
func isHTTP2(b []byte) bool { return bytes.HasPrefix(b, []byte("PRI * HTTP/2.0\r\n")) }

// isForeign says whether a malformed request line looks like that of another protocol: words, of which the last is not a
// version of HTTP. An answer in the form of HTTP/1.1 would say nothing to who sends it.
func isForeign(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	words := bytes.Split(line, []byte(" "))
	return len(words) == 3 && !bytes.HasPrefix(words[2], []byte("HTTP/"))
}

// serveHTTP2 carries a connection that speaks HTTP/2, of which the bytes early have been read. It returns when the
// connection has come to its end.
func (c *connection) serveHTTP2(early []byte) {
	m := &multiplexed{connection: c, streams: make(map[*stream]struct{})}
	m.idle.Store(c.idleMillis)
	m.frames = c.proxy.http2.Server(c.conn, early, m.handle)
	if x := c.x; x != nil {
		c.x = nil
		x.release(c.proxy)
	}
	c.enter(phaseClient, c.idleMillis)
	c.conn.SetDeadline(time.Time{}) // The sweeper may have ended a wait just now.
	c.multiplexed.Store(m)
	served := false
	defer func() {
		if !served {
			m.breakOff() // After a panic the streams must not be left alone.
		}
	}()
	lingers := m.frames.Serve()
	served = true
	c.multiplexed.Store(nil)
	c.conn.SetDeadline(time.Time{})
	c.lingers = lingers
}

// sweep ends what has lasted too long or has become pointless.
func (m *multiplexed) sweep(now int64, draining bool) {
	switch {
	case now >= m.endsAt+lingerMillis:
		m.frames.Abort()
	case now >= m.endsAt:
		m.frames.Drain() // First: the answers that follow should not be the first that the client hears of it.
		m.interrupt(causeLifetime, func(*stream) bool { return true })
	case draining || m.listener.gone() || m.isOld() || m.frames.Idle() >= m.idle.Load():
		m.frames.Drain()
	}
	m.interrupt(causeTimeout, func(st *stream) bool { return now >= st.deadline.Load() })
	m.frames.Sweep()
}

// breakOff ends everything at once.
func (m *multiplexed) breakOff() {
	m.interrupt(causeBroken, func(*stream) bool { return true })
	m.frames.Abort()
}

// interrupt ends the waits of the streams that are chosen.
func (m *multiplexed) interrupt(why cause, chosen func(*stream) bool) {
	m.mu.Lock()
	var list []*stream
	for st := range m.streams {
		if chosen(st) {
			list = append(list, st)
		}
	}
	m.mu.Unlock()
	for _, st := range list {
		st.interrupt(why)
	}
}

func (m *multiplexed) add(st *stream) {
	m.mu.Lock()
	m.streams[st] = struct{}{}
	m.mu.Unlock()
}

func (m *multiplexed) remove(st *stream) {
	m.mu.Lock()
	delete(m.streams, st)
	m.mu.Unlock()
}
