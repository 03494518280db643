package proxy

import (
	"io"
	"net"
	"runtime/debug"
)

// tunnel carries an upgraded connection: after the head of the 101, bytes pass both ways until both sides have closed.
// The target's first bytes are x.answer[from:end], the client's are what is left in x.in.
func (c *connection) tunnel(from, end int) bool {
	x := c.x
	x.keepAlive = false
	x.out = x.appendResponseHead(x.out[:0])
	if c.write(x.out) != nil || from < end && c.write(x.answer[from:end]) != nil {
		return c.clientFailed()
	}
	target := c.target
	up := make(chan struct{})
	c.upload.deadline.Store(c.proxy.clock.now() + c.idleMillis)
	c.upload.state.Store(uploadReads)
	go func() {
		defer close(up)
		defer c.recovered("panic in a tunnel")
		x.record.Received += c.pipe(target, c.conn, x.in[x.start:x.end], func() {
			c.upload.deadline.Store(c.proxy.clock.now() + c.idleMillis)
		})
		c.upload.state.Store(uploadNone)
	}()
	c.enter(phaseTunnel, c.idleMillis)
	why := causeNone
	sent := c.pipe(c.conn, target, nil, func() { why = max(why, c.enter(phaseTunnel, c.idleMillis)) })
	<-up
	x.record.Sent += sent
	x.start = x.end
	if why = max(why, c.dropTarget()); why > causeTimeout { // One that is idle for too long has not failed.
		x.record.Failure = causeRefusal(why).failure
	}
	return c.conclude(false)
}

// pipe copies one direction and passes its end on. When a side breaks, both are ended.
func (c *connection) pipe(dst, src net.Conn, first []byte, moved func()) (copied int64) {
	pooled := c.proxy.getBuffer()
	defer c.proxy.putBuffer(pooled)
	if len(first) > 0 {
		if _, err := dst.Write(first); err != nil {
			c.spoil(dst, src)
			return 0
		}
	}
	for {
		n, err := src.Read(pooled.bytes[:])
		if n > 0 {
			moved()
			if _, err := dst.Write(pooled.bytes[:n]); err != nil {
				c.spoil(dst, src)
				return copied
			}
			copied += int64(n)
			moved()
		}
		if err == io.EOF {
			closeWrite(dst)
			return copied
		}
		if err != nil {
			c.spoil(dst, src)
			return copied
		}
	}
}

// spoil ends all waits on both connections.
func (c *connection) spoil(a, b net.Conn) {
	a.SetDeadline(past)
	b.SetDeadline(past)
}

// closeWrite closes the sending side of a connection that has two.
func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// recovered logs a panic, so that it ends one exchange and not the process.
func (c *connection) recovered(text string) {
	if problem := recover(); problem != nil {
		c.proxy.cfg.Log.Error(text, "problem", problem, "stack", string(debug.Stack()))
		c.conn.SetDeadline(past)
	}
}
