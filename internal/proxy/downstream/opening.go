package downstream

import (
	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/exchange"
	"trellis/internal/proxy/socket"
)

// Opening holds what a client has sent before its protocol is known. The code that serves that protocol gives it back.
type Opening struct {
	room, small []byte
	n           int
}

func newOpening() *Opening {
	small := make([]byte, exchange.HeadBytes)
	return &Opening{room: small, small: small}
}

// Bytes returns what has come. They must not be used after Release.
func (o *Opening) Bytes() []byte { return o.room[:o.n] }

// Release gives the opening back.
func (o *Opening) Release(e *Environment) {
	buffer.Mangle(o.room)
	o.room, o.n = o.small, 0
	e.openings.Put(o)
}

// Await waits for the client's first bytes, without holding memory for them. With an error it returns no opening.
func (c *Conn) Await() (*Opening, error) {
	if c.raw == nil {
		o := c.Env.openings.Get().(*Opening)
		n, err := c.conn.Read(o.room)
		if o.n = n; n > 0 {
			return o, nil
		}
		o.Release(c.Env)
		return nil, err
	}
	var o *Opening
	var failed error
	read := func(fd uintptr) bool {
		o = c.Env.openings.Get().(*Opening)
		n, wait, err := socket.Read(fd, o.room)
		if o.n, failed = n, err; n > 0 {
			return true
		}
		o.Release(c.Env)
		o = nil
		return !wait
	}
	err := c.raw.Read(read)
	for err != nil && c.Parks() { // Parking would save nothing, since the stack of this goroutine is still small.
		err = c.raw.Read(read)
	}
	if err == nil {
		err = failed
	}
	return o, err
}

// AwaitMore waits for more bytes after those of the opening.
func (c *Conn) AwaitMore(o *Opening) error {
	if o.n == len(o.room) {
		larger := make([]byte, buffer.Bytes) // The parser refuses a head that does not fit.
		copy(larger, o.room)
		o.room = larger
	}
	n, err := c.conn.Read(o.room[o.n:])
	if o.n += n; n > 0 {
		return nil
	}
	return err
}
