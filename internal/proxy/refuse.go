package proxy

import (
	"time"

	"trellis/internal/proxy/wire/http1"
)

// refuse answers in the target's place. It returns whether the connection stays open.
func (c *connection) refuse(r refusal) bool {
	x := c.x
	x.record.note(r)
	if c.target != nil {
		c.dropTarget()
	}
	x.keepAlive = x.keepAlive && c.lasts()
	switch r.failure {
	case ClientConnectionClosed, ClientProtocolError, ConnectionDurationExceeded:
		x.keepAlive = false
	}
	switch {
	case x.uploads:
		x.keepAlive = x.keepAlive && c.uploaded()
	case !x.requestBody.Done():
		x.keepAlive = false
		c.lingers = true
	}
	if r.failure == ClientConnectionClosed && r.status != 408 || r == foreign {
		return c.conclude(false) // Nobody is there to read it.
	}
	if c.proxy.cfg.Explain {
		x.explain()
	}
	x.out = x.appendRefusal(x.out[:0], r, *c.proxy.date.Load())
	if c.write(x.out) != nil {
		return c.clientFailed()
	}
	return c.conclude(x.keepAlive)
}

// appendRefusal appends a whole response.
func (x *exchange) appendRefusal(dst []byte, r refusal, date string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = append(dst, byte('0'+r.status/100), byte('0'+r.status/10%10), byte('0'+r.status%10), ' ')
	dst = append(dst, statusText(r.status)...)
	dst = append(dst, "\r\ndate: "...)
	dst = append(dst, date...)
	dst = append(dst, "\r\ncontent-type: text/plain\r\n"...)
	dst = appendLength(dst, int64(len(r.text)))
	dst = x.appendConnection(dst)
	dst = appendLine(dst, "x-amzn-requestid: ", x.requestID)
	dst = append(dst, x.explanation...)
	dst = append(dst, "\r\n"...)
	if string(x.request.Method) != "HEAD" {
		dst = append(dst, r.text...)
	}
	return dst
}

// refuseMalformed answers a request that could not be parsed. What it asked for is not known, nor where the next one
// starts.
func (c *connection) refuseMalformed(err error) {
	c.refuseUnparsed(violationRefusal(err), err)
}

func (c *connection) refuseUnparsed(r refusal, problem error) {
	x := c.x
	x.plan = plan{}
	x.record = Record{Problem: problem}
	if c.proxy.cfg.AccessLog != nil {
		x.record.Start = time.Now()
		x.record.Received = int64(x.end - x.start)
	}
	x.request.Reset()
	x.requestBody = http1.Body{}
	x.uploads, x.keepAlive = false, false
	x.explanation = x.explanation[:0]
	newRequestID(&x.madeID)
	x.requestID = x.madeID[:]
	c.lingers = true
	c.refuse(r)
}
