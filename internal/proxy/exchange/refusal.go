package exchange

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"trellis/internal/accesslog"
	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// Refusal is a response that the proxy makes itself, in the target's place.
type Refusal struct {
	Status  int
	Text    string
	Failure accesslog.Failure
	// Problem says what was wrong, unless the record has a more exact problem already.
	Problem error
	// ByRule says that a rule asks for the response, so that even clients of gRPC get it unchanged.
	ByRule bool
	// Silent says that nothing is sent, since the client is gone.
	Silent bool
}

// The refusals. Which status AWS gives is documented for some of them only
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/troubleshooting.html; A-189).
var (
	unknownHost       = Refusal{Status: 404, Text: "Not Found", Problem: errUnknownHost}
	unreachable       = Refusal{Status: 404, Text: "Not Found", Failure: accesslog.ClientAccessDenied}
	noTarget          = Refusal{Status: 503, Text: "service not available", Failure: accesslog.TargetConnectionError, Problem: errNoTarget}
	noVersionForThis  = Refusal{Status: 502, Text: "Bad Gateway", Failure: accesslog.TargetProtocolError, Problem: errWrongVersion}
	cannotConnect     = Refusal{Status: 500, Text: "Internal Server Error", Failure: accesslog.TargetConnectionError}
	brokenByTarget    = Refusal{Status: 502, Text: "Bad Gateway", Failure: accesslog.TargetConnectionClosed}
	malformedByTarget = Refusal{Status: 502, Text: "Bad Gateway", Failure: accesslog.TargetProtocolError}
	Loop              = Refusal{Status: 508, Text: "Loop Detected", Failure: accesslog.TargetConnectionError, Problem: errLoop}
	LateTarget        = Refusal{Status: 504, Text: "Gateway Timeout", Failure: accesslog.TargetDataTimeout, Problem: errSilence}
	LateClient        = Refusal{Status: 408, Text: "Request Timeout", Failure: accesslog.ClientConnectionClosed}
	ClientGone        = Refusal{Status: 400, Text: "Bad Request", Failure: accesslog.ClientConnectionClosed, Silent: true}
	Malformed         = Refusal{Status: 400, Text: "Bad Request", Failure: accesslog.ClientProtocolError}
	plainToHTTPS      = Refusal{Status: 400, Text: "This is an HTTPS listener", Failure: accesslog.ClientProtocolError}
	misdirected       = Refusal{Status: 421, Text: "Misdirected Request", Problem: errOtherService}
	wrongVersion      = Refusal{Status: 505, Text: "HTTP Version Not Supported", Failure: accesslog.ClientProtocolError}
	connectMethod     = Refusal{Status: 501, Text: "Not Implemented", Failure: accesslog.ClientProtocolError}
	Foreign           = Refusal{Status: 400, Failure: accesslog.ClientProtocolError, Silent: true}
	TooOld            = Refusal{Status: 500, Text: "Internal Server Error", Failure: accesslog.ConnectionDurationExceeded}
	internalFault     = Refusal{Status: 500, Text: "Internal Server Error", Failure: accesslog.InternalError}
	Stopping          = Refusal{Status: 503, Text: "service not available", Failure: accesslog.InternalError}
)

// The problems for which there is no error.
var (
	errUnknownHost  = errors.New("no service answers to this host on this port")
	errOtherService = errors.New("the host belongs to another service than the TLS server name")
	errNoTarget     = errors.New("the target group has no target that requests can be sent to")
	errWrongVersion = errors.New("the target group's protocol version cannot carry the request")
	errLoop         = fmt.Errorf("the request has passed through Trellis %d times: the target leads back to a listener, of this node or of another, from which the request came; register what serves it", MaxHops)
	errSilence      = errors.New("nothing came from the target for the idle timeout")
	ErrLateHead     = errors.New("the head of the request did not come in time")
)

// fixedResponse is the response of a rule with a fixed response. The text of 404 is AWS's; that of 500 is by analogy
//
func fixedResponse(status int) Refusal {
	return Refusal{Status: status, Text: http.StatusText(status), ByRule: true}
}

// ViolationRefusal returns the refusal of a malformed request.
func ViolationRefusal(err error) Refusal {
	if err == http1.BadVersion {
		return wrongVersion
	}
	return Malformed
}

// ClientError says that an attempt failed because of what the client sent, or did not send.
type ClientError struct{ Err error }

func (e *ClientError) Error() string { return "reading the request: " + e.Err.Error() }
func (e *ClientError) Unwrap() error { return e.Err }

// TargetRefusal returns the refusal of a request whose last attempt has failed.
func TargetRefusal(err error) Refusal {
	if client, ok := errors.AsType[*ClientError](err); ok {
		if _, ok := errors.AsType[http1.Violation](client.Err); ok {
			return Malformed
		}
		return ClientGone
	}
	if invocation, ok := errors.AsType[*upstream.InvocationError](err); ok {
		return functionRefusal(invocation.Err)
	}
	if _, ok := errors.AsType[*upstream.DialError](err); ok {
		if errors.Is(err, context.Canceled) {
			return Stopping
		}
		return cannotConnect
	}
	if _, ok := errors.AsType[*upstream.UnknownCarrierError](err); ok {
		return internalFault
	}
	if _, ok := errors.AsType[http1.Violation](err); ok {
		return malformedByTarget
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return LateTarget
	}
	return brokenByTarget
}

// Note notes a refusal in the record. It notes the status even if the refusal is not sent.
func (x *Exchange) Note(r Refusal) {
	x.Record.Status, x.Record.Failure = r.Status, r.Failure
	if x.Record.Problem == nil {
		x.Record.Problem = r.Problem
	}
}

// Refuse notes a refusal in the record and prepares the response to a client that does not speak gRPC.
func (x *HTTP) Refuse(r Refusal) {
	x.Note(r)
	if !r.Silent {
		x.explain()
	}
}
