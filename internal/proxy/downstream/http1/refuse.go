package http1

import (
	"net/http"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/exchange"
	"trellis/internal/routing"
)

// refuse responds in the target's place. It returns whether the connection stays open.
func (c *conn) refuse(r exchange.Refusal) bool {
	x := c.x
	x.Refuse(r)
	if c.Target != nil {
		c.DropTarget()
	}
	x.keepAlive = x.keepAlive && c.Lasts()
	switch r.Failure {
	case accesslog.ClientConnectionClosed, accesslog.ClientProtocolError, accesslog.ConnectionDurationExceeded:
		x.keepAlive = false
	}
	switch {
	case x.Uploads:
		x.keepAlive = x.keepAlive && c.uploaded()
	case !x.RequestBody.Done():
		x.keepAlive = false
		c.Linger()
	}
	if r.Silent {
		return c.conclude(false)
	}
	x.Out = x.appendRefusal(x.Out[:0], r, c.Env.Exchanges.Date())
	if c.write(x.Out) != nil {
		return c.clientFailed()
	}
	return c.conclude(x.keepAlive)
}

// appendRefusal appends a whole response.
func (x *work) appendRefusal(dst []byte, r exchange.Refusal, date string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+r.Status/100), byte('0'+r.Status/10%10), byte('0'+r.Status%10), ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\ndate: "...)
	dst = append(dst, date...)
	dst = append(dst, "\r\ncontent-type: text/plain\r\n"...)
	dst = exchange.AppendLength(dst, int64(len(r.Text)))
	dst = x.appendConnection(dst)
	dst = exchange.AppendLine(dst, "x-amzn-requestid: ", x.RequestID())
	dst = append(dst, x.Explanation()...)
	dst = append(dst, "\r\n"...)
	if !x.IsHead() {
		dst = append(dst, r.Text...)
	}
	return dst
}

// refuseUnparsed refuses a request that could not be parsed. Neither its content nor the start of the next one is known.
func (c *conn) refuseUnparsed(r exchange.Refusal, problem error) {
	x := c.x
	x.BeginUnparsed(&c.Client, routing.HTTP1, x.end-x.start, problem)
	x.keepAlive = false
	c.Linger()
	c.refuse(r)
}
