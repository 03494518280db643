package proxy

import (
	"net/netip"
	"time"

	"trellis/internal/routing"
)

// Record is what is known of an exchange at its end. It and what its slices refer to are valid only during the call
// of Config.AccessLog.
type Record struct {
	// Start is when the head of the request was complete; Duration lasts until the response was sent. ToTarget is the
	// time from Start until the request was on its way to the target, and FromTarget from then until the head of the
	// response had come.
	Start      time.Time
	Duration   time.Duration
	ToTarget   time.Duration
	FromTarget time.Duration

	Source netip.AddrPort
	// Target is the address of the target; it is not valid when none was chosen.
	Target netip.AddrPort
	// Service is nil when the host is unknown, Rule and Forward are nil as far as the exchange did not get there.
	Service *routing.Service
	Rule    *routing.Rule
	Forward *routing.Forward

	// Protocol is "HTTP/2.0", "HTTP/1.1" or "HTTP/1.0"; "TLS" of a connection to a TLS_PASSTHROUGH listener, of which
	// nothing of what follows is known but the bytes.
	Protocol string
	Method   []byte
	Path     []byte
	Query    []byte // with its question mark
	Host     []byte
	// UserAgent is the value of the header.
	UserAgent []byte
	RequestID []byte

	Status int
	// GRPCStatus is the status code of gRPC of an answer that the proxy has made itself for a client of gRPC; else 0.
	GRPCStatus int
	// Received and Sent count the bytes of heads and bodies from and to the client.
	Received int64
	Sent     int64
	Failure  Failure
	// Problem says what was wrong exactly, as far as that is known.
	Problem error

	// TLS is nil on HTTP listeners.
	TLS *TLS
}

// note takes up an answer that the proxy gives itself.
func (r *Record) note(answer refusal) {
	r.Status, r.Failure = answer.status, answer.failure
	if r.Problem == nil {
		r.Problem = answer.problem
	}
}

// record hands the exchange to the access log.
func (c *connection) record(x *exchange) {
	protocol := "HTTP/1.1"
	if x.request.Minor == 0 {
		protocol = "HTTP/1.0"
	}
	c.recordAs(x, protocol)
}

func (c *connection) recordAs(x *exchange, protocol string) {
	log := c.proxy.cfg.AccessLog
	r := &x.record
	if log == nil && r.Failure == "" {
		return
	}
	r.Source = c.source
	r.Protocol = protocol
	r.Service, r.Rule, r.Forward = x.plan.service, x.plan.rule, x.plan.forward
	r.Target = netip.AddrPort{}
	if x.plan.target != nil {
		r.Target = x.plan.target.Address
	}
	r.Method, r.Path, r.Query, r.Host = x.request.Method, x.request.Path, x.request.Query, x.request.Host
	r.UserAgent, _ = x.request.Header("user-agent", 0)
	r.RequestID = x.requestID
	if c.secured != nil {
		r.TLS = &c.secured.facts
	}
	if r.Failure != "" {
		c.proxy.logFailure(r)
	}
	if log != nil {
		r.Duration = time.Since(r.Start)
		log(r)
	}
}
