package exchange

import (
	"time"

	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// Finish ends the exchange: it counts it, ends the use of the target, logs a failure, and passes the record to the access log.
func (x *HTTP) Finish() {
	if x.recorded || x.hasFailed() {
		r := &x.Record
		r.Protocol = protocol(x.version, &x.Request)
		r.Method, r.Path, r.Query, r.Host = x.Request.Method, x.Request.Path, x.Request.Query, x.Request.Host
		r.UserAgent = x.Request.First(http1.UserAgent)
		r.RequestID = x.requestID
		if x.traced {
			r.TraceParent, r.TraceState = traceParent(&x.Request), traceState(&x.Request)
		}
	}
	x.finish(tally.OutcomeOf(x.Record.Status))
}

// FinishConnection is Finish for an exchange that is a whole connection.
func (x *Exchange) FinishConnection() {
	x.Record.Protocol = "TLS"
	x.Record.Status = 0 // A connection has no response.
	x.finish(tally.Passed)
}

func (x *Exchange) finish(outcome tally.Outcome) {
	if x.client == nil {
		return // There was a panic before the exchange began.
	}
	duration := x.elapsed()
	x.count(outcome, duration)
	if x.untimed {
		x.setFromTarget(duration)
	}
	if r, failed := &x.Record, x.hasFailed(); x.recorded || failed {
		r.Connection = x.client.Connection
		r.Service, r.SourceVpc, r.Rule, r.Forward = x.Service, x.SourceVpc, x.Rule, x.Forward
		r.Target = nil
		if x.Target != nil {
			r.Target = &x.Target.Place
		}
		r.Start, r.Duration = x.shared.timeOf(x.began), duration
		if r.Failure != "" {
			x.shared.logFailure(r)
		}
		if failed && x.shared.AccessLog != nil {
			x.shared.AccessLog.Failed(r)
		}
		if x.recorded {
			if x.logged {
				x.shared.AccessLog.Write(r)
			}
			if x.traced {
				x.shared.Tracer.Trace(r)
			}
		}
	}
	x.use(nil)
}

// hasFailed reports whether the operator wants to know of the exchange, whoever is at fault.
func (x *Exchange) hasFailed() bool { return x.Record.Failure != "" || x.Record.Status >= 500 }

// count counts the exchange for its service, its service network, its rule and its target group.
func (x *Exchange) count(outcome tally.Outcome, duration time.Duration) {
	here, failure := x.shared.Shards.Here(), 0
	if x.Record.Failure != "" {
		failure = x.Record.Failure.Number()
	}
	end := tally.NewEnd(outcome, duration, failure)
	if x.Service == nil {
		x.shared.Unrouted.End(here, end)
		return
	}
	x.Service.Exchanges.End(here, end)
	x.Service.Network.Exchanges.End(here, end)
	if x.Rule != nil {
		x.Rule.Exchanges.End(here, end)
	}
	if x.Forward != nil {
		group := &x.Forward.TargetGroup.Exchanges
		group.End(here, end)
		group.Moved(here, x.Record.Received, x.Record.Sent)
	}
}

func protocol(version routing.Version, request *http1.Request) string {
	switch {
	case version == routing.HTTP2:
		return "HTTP/2"
	case request.Minor == 0:
		return "HTTP/1.0"
	default:
		return "HTTP/1.1"
	}
}
