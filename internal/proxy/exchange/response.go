package exchange

import (
	"trellis/internal/proxy/wire/http1"
)

// Step is what must be done with the head of a response.
type Step uint8

// The steps.
const (
	// Final says that the head is that of the response.
	Final Step = iota
	// PassOn says that the head is that of an interim response, for the client too.
	PassOn
	// Skip says that the head is that of an interim response which the client must not get.
	Skip
)

// TakeHead decides what must be done with the head that is in Response (RFC 9110 15.2). An error says that the target must not
// send this head now.
func (x *HTTP) TakeHead() (Step, error) {
	status := x.Response.Status
	switch {
	case status >= 200:
		x.begun()
		return Final, nil
	case status == 101:
		if !x.Upgrades() {
			return Final, http1.UnexpectedStatus
		}
		x.begun()
		return Final, nil
	case x.interims == http1.MaxInterim:
		return Skip, http1.UnexpectedStatus
	}
	x.interims++
	// A client of HTTP/1.0 does not know interim responses, and a client that does not wait for a 100 is not told to continue.
	if x.Request.Minor == 0 || status == 100 && !x.AwaitsContinue() {
		return Skip, nil
	}
	x.continued = x.continued || status == 100
	return PassOn, nil
}

// HasInterim reports whether an interim response has come.
func (x *HTTP) HasInterim() bool { return x.interims > 0 }

// begun notes that the head of the final response has come.
func (x *HTTP) begun() {
	x.Record.Status = x.Response.Status
	if x.recorded {
		x.untimed = true
		if x.SpeaksGRPC() {
			if status, _ := x.Response.Header("grpc-status", 0); len(status) > 0 {
				x.takeGRPCStatus(status) // A response without a body may have the status of gRPC in its head.
			}
		}
	}
	x.explain()
}

// StartBody prepares ResponseBody for the body that follows the head of the final response from an HTTP/1.1 target.
func (x *HTTP) StartBody() {
	x.ResponseBody.StartResponse(&x.Response, x.IsHead())
	x.persistent = KeepsAlive(&x.Response.Head) && x.ResponseBody.Framing != http1.UntilClose
}

// Reusable reports whether the target's connection can carry another exchange, now that it has sent the whole body and
// nothing more. It does not say whether the request has been sent.
func (x *HTTP) Reusable() bool { return x.persistent }

// KeepsAlive reports whether the sender of a head wants to use the connection again (RFC 9112 9.3).
func KeepsAlive(h *http1.Head) bool { return !h.Close && (h.Minor == 1 || h.KeepAlive) }

// IsHead reports whether the method is HEAD, so that the response has no body.
func (x *HTTP) IsHead() bool { return string(x.Request.Method) == "HEAD" }

// AwaitsContinue reports whether the client waits for a 100 (Continue). One that speaks HTTP/1.0 cannot (RFC 9110 10.1.1).
func (x *HTTP) AwaitsContinue() bool { return x.Request.Continue && x.Request.Minor == 1 }

// WasContinued reports whether the client has been told to continue.
func (x *HTTP) WasContinued() bool { return x.continued }

// Upgrades reports whether the request asks for another protocol and may get it. A request with a body may not, since it would
// not be clear who reads the body. Nor may one that names a version of HTTP, since the requests to follow would pass unseen
//
func (x *HTTP) Upgrades() bool {
	r := &x.Request
	if !r.Upgrade || r.UpgradesHTTP || r.Minor == 0 || x.RequestBody.Framing != http1.NoBody {
		return false
	}
	return len(r.First(http1.Upgrade)) > 0
}
