package http1

import "trellis/internal/proxy/downstream"

// tunnel carries an upgraded connection: after the head of the 101, bytes pass both ways until both sides have closed.
// The target's first bytes are x.FromTarget[from:end]; the client's are what is left in x.in.
func (c *conn) tunnel(from, end int) bool {
	x := c.x
	x.keepAlive = false
	x.Out = x.appendResponseHead(x.Out[:0])
	if c.write(x.Out) != nil || from < end && c.write(x.FromTarget[from:end]) != nil {
		return c.clientFailed()
	}
	client, target := c.Stream(), c.Target
	first := x.in[x.start:x.end]
	var received, sent int64
	why, _, _ := c.BothWays(func(moved func()) error {
		if len(first) > 0 {
			if _, err := target.Write(first); err != nil {
				return err
			}
		}
		return c.Env.Pipe(target, client, func(n int) {
			received += int64(n)
			moved()
		})
	}, func(moved func()) error {
		return c.Env.Pipe(client, target, func(n int) {
			sent += int64(n)
			moved()
		})
	})
	x.Record.Received += received
	x.Record.Sent += sent
	x.start = x.end
	c.DropTarget()
	if why > downstream.CauseTimeout { // A tunnel that was idle for too long has not failed.
		x.Record.Failure = why.Refusal().Failure
	}
	return c.conclude(false)
}
