package exchange

import (
	"time"

	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

// Finish ends the exchange: it ends the use of the target, tells the operator of a failure, and hands the record to the
// access log.
func (x *HTTP) Finish() {
	if x.recorded || x.Record.Failure != "" {
		r := &x.Record
		r.Protocol = protocol(x.version, &x.Request)
		r.Method, r.Path, r.Query, r.Host = x.Request.Method, x.Request.Path, x.Request.Query, x.Request.Host
		r.UserAgent, _ = x.Request.Header("user-agent", 0)
		r.RequestID = x.requestID
	}
	x.finish()
}

// FinishConnection is Finish for an exchange that is a whole connection.
func (x *Exchange) FinishConnection() {
	x.Record.Protocol = "TLS"
	x.Record.Status = 0 // There is no response.
	x.finish()
}

func (x *Exchange) finish() {
	if x.client == nil {
		return // There was a panic before anything had begun.
	}
	if r := &x.Record; x.recorded || r.Failure != "" {
		r.Source, r.Destination, r.TLS = x.client.Source, x.client.Destination, x.client.TLS
		r.Service, r.SourceVpc, r.Rule, r.Forward = x.Service, x.SourceVpc, x.Rule, x.Forward
		r.Target = routing.Place{}
		if x.Target != nil {
			r.Target = x.Target.Place
		}
		if r.Failure != "" {
			x.shared.logFailure(r)
		}
		if x.recorded {
			r.Duration = time.Since(r.Start)
			x.shared.AccessLog.Write(r)
		}
	}
	x.use(nil)
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
