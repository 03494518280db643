// Package exchange makes the decisions about a request, once for all protocols: where it goes, whether it may pass, what its
// target gets, what follows a failed attempt, which of the target's interim responses the client gets, how the request is
// refused, and what is recorded in the end. It moves no bytes. The packages below downstream do that, and call it in this
// order:
//
//	Begin -> (refused: Refuse) -> an attempt -> (failed: Retry) -> TakeHead -> Finish
//
// Exchange is what all exchanges have, even those whose bytes are hidden by TLS. HTTP adds what requests have.
package exchange

import (
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

// Client is what an exchange needs to know about the client's connection.
type Client struct {
	// Port is the port that accepted the connection.
	Port *routing.Port
	// Origin is where the client is.
	Origin routing.Origin
	*accesslog.Connection
	// ServerName is the name that the client asked for by TLS. It selects the service of every request. It is nil
	// without TLS.
	ServerName []byte
	// Forwarded holds the x-forwarded-* lines that targets get.
	Forwarded []byte
}

// Exchange is one request and its response, or one connection whose bytes are passed through.
type Exchange struct {
	plan
	// Record is what is known so far. Its users count bytes and set Problem; Finish fills in the rest.
	Record accesslog.Record

	shared   *Shared
	client   *Client
	version  routing.Version // the version of HTTP of the request
	recorded bool            // the access log or the tracer wants the record, as the next two fields say
	logged   bool
	traced   bool
	atOnce   bool          // an idle connection takes the request, for which nothing has been waited
	untimed  bool          // the head of the final response has come, and Record.FromTarget is still to be set
	began    time.Duration // since shared.epoch
	attempts upstream.Attempts
	caller   accesslog.Caller // the memory of Record.Caller
}

// start starts an exchange with the plan's service, or with none if no service has the host's name. head is nil if nothing is
// known about the request.
func (x *Exchange) start(client *Client, version routing.Version, to plan, head *http1.Request) {
	x.plan = to
	x.client, x.version = client, version
	x.attempts, x.atOnce, x.untimed = upstream.Attempts{}, false, false
	x.Record = accesslog.Record{}
	x.began = time.Since(x.shared.epoch)
	log, tracer := x.shared.AccessLog, x.shared.Tracer
	x.logged = log != nil && log.Wants(to.Service)
	x.traced = tracer != nil && tracer.Samples(traceParent(head))
	x.recorded = x.logged || x.traced
}

// elapsed returns how long the exchange has taken until now.
func (x *Exchange) elapsed() time.Duration { return time.Since(x.shared.epoch) - x.began }

// BeginConnection begins an exchange that is a whole connection to a service, with unknown content.
func (x *Exchange) BeginConnection(shared *Shared, client *Client, service *routing.Service) (r Refusal, refused bool) {
	x.shared = shared
	var to plan
	if to.Service, to.SourceVpc = service.From(client.Origin); to.Service == nil {
		x.start(client, routing.HTTP1, to, nil)
		return x.unreachable(service, client), true
	}
	x.start(client, routing.HTTP1, to, nil)
	return x.follow(nil, nil)
}

// Sent notes that the request is on its way to the target. A look at the clock takes as long as half of what an access log copies
// of the record, so there is none if the request has waited for nothing.
func (x *Exchange) Sent() {
	if x.recorded && !x.atOnce {
		x.Record.ToTarget = x.elapsed()
	}
}

// TimeHead notes that the head of the final response has come by now. It must be called after TakeHead before the exchange waits for
// anything. If it waits for nothing more, as when all of a small response has come, Finish notes the time, by the look at the clock
// that it takes anyway.
func (x *Exchange) TimeHead() {
	if x.untimed {
		x.setFromTarget(x.elapsed())
	}
}

// setFromTarget sets Record.FromTarget by how long the exchange had taken when the head came.
func (x *Exchange) setFromTarget(elapsed time.Duration) {
	x.Record.FromTarget, x.untimed = elapsed-x.Record.ToTarget, false
}
