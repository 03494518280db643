package downstream

import (
	"io"
	"net"
	"os"
)

// Move moves bytes one way until their source has ended, and passes the end on. It calls moved whenever something has
// moved.
type Move func(moved func()) error

// BothWays moves bytes from the client to c.Target and back until both moves have ended, or until nothing has moved for the idle
// timeout. When one fails, it breaks the other off. It returns why the sweeper ended them, if it did, and how each has ended.
// Afterwards the connection can only be closed.
func (c *Conn) BothWays(up, down Move) (why Cause, upErr, downErr error) {
	c.Enter(Relaying, c.IdleMillis)
	target := c.Target
	run := func(move Move) (why Cause, err error) {
		err = os.ErrDeadlineExceeded // A panic ends a move as an interruption would.
		defer func() {
			if err != nil {
				c.accepted.SetDeadline(Past)
				target.SetDeadline(Past)
			}
		}()
		defer c.Recovered("a move of bytes")
		err = move(func() { why = max(why, c.Enter(Relaying, c.IdleMillis)) })
		return why, err
	}
	var whyUp, whyDown Cause
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		whyUp, upErr = run(up)
	}()
	whyDown, downErr = run(down)
	<-ended
	return max(whyUp, whyDown, c.Enter(Writing, c.IdleMillis)), upErr, downErr
}

// Relay moves bytes both ways in the connection's place.
type Relay interface {
	// BreakOff ends the relay. It must not block.
	BreakOff()
}

// Relay leaves the connection to a relay. The relay must call Enter for Relaying whenever something has moved, the first time
// within the given milliseconds. Relay returns why the sweeper ended the wait before, if it did. Once the relay has ended, the
// connection can only be closed.
func (c *Conn) Relay(r Relay, millis int64) Cause {
	c.relay = r
	return c.Enter(Relaying, millis)
}

// endRelaying breaks off the moves both ways. The caller holds c.watch.mu.
func (c *Conn) endRelaying() {
	if c.relay != nil {
		c.relay.BreakOff()
		return
	}
	c.accepted.SetDeadline(Past)
	c.Target.SetDeadline(Past)
}

// Pipe copies bytes through memory until src ends, and passes the end on. It calls moved with what came, and with 0 after
// each write.
func (e *Environment) Pipe(dst, src net.Conn, moved func(n int)) error {
	pooled := e.Buffers.Get()
	defer e.Buffers.Put(pooled)
	for {
		n, err := src.Read(pooled.Bytes[:])
		if n > 0 {
			moved(n)
			if _, err := dst.Write(pooled.Bytes[:n]); err != nil {
				return err
			}
			moved(0)
		}
		if err == io.EOF {
			CloseWrite(dst)
			return nil
		}
		if err != nil {
			return err
		}
	}
}
