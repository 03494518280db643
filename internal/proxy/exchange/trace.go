package exchange

import (
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

// maxRetries bounds how many retries of an exchange are noted: a target may refuse it again and again.
const maxRetries = 16

// traceParent returns the value of the header, or nil if there is none, or more than one. It goes to the target as it is,
// as all headers do
// (https://www.w3.org/TR/trace-context/#traceparent-header).
func traceParent(head *http1.Request) []byte {
	if head == nil {
		return nil
	}
	value, next := head.Header("traceparent", 0)
	if next < 0 {
		return nil
	}
	if _, another := head.Header("traceparent", next); another >= 0 {
		return nil
	}
	return value
}

// traceState returns the value of the header, of which there may be several lines
// (https://www.w3.org/TR/trace-context/#tracestate-header).
func traceState(head *http1.Request) []byte {
	value, next := head.Header("tracestate", 0)
	for next >= 0 {
		var more []byte
		if more, next = head.Header("tracestate", next); next >= 0 {
			value = append(append(value[:len(value):len(value)], ','), more...)
		}
	}
	return value
}

// noteRetry notes that an attempt at a target has failed, and another one follows.
func (x *Exchange) noteRetry(failed *routing.Target, err error, pause time.Duration) {
	if !x.traced || len(x.Record.Retries) == maxRetries {
		return
	}
	x.Record.Retries = append(x.Record.Retries, accesslog.Retry{
		Ended: x.elapsed(), Pause: pause, Target: failed.Place, Failure: TargetRefusal(err).Failure, Problem: err})
}
