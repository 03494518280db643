package http2

import (
	"context"
	"net"
	"sync"
)

// Ask makes a request without a body on a connection that is used for nothing else, and calls read with its stream. When
// ctx ends it breaks everything off. The connection cannot be used afterwards; the caller closes it.
func (e *Endpoint) Ask(ctx context.Context, conn net.Conn, block []byte, read func(*Stream) error) error {
	c := e.Client(conn, nil, nil)
	stop := context.AfterFunc(ctx, c.Abort)
	var serving sync.WaitGroup
	serving.Go(func() { c.Serve() })
	defer func() {
		stop()
		c.Abort()
		serving.Wait()
	}()
	s, err := c.Open(block, Request{Ended: true})
	if err != nil {
		return err
	}
	return read(s)
}
