package proxy

import (
	"context"
	"errors"
	"fmt"

	"trellis/internal/proxy/upstream"
	"trellis/internal/proxy/wire/http1"
)

// Failure says why an exchange failed, in the words of the access log (UG monitoring-access-logs: failureReason).
// Empty means that it did not.
type Failure string

// The failures.
const (
	TargetConnectionError      Failure = "TargetConnectionError"
	TargetProtocolError        Failure = "TargetProtocolError"
	TargetDataTimeout          Failure = "TargetDataTimeout"
	TargetConnectionClosed     Failure = "TargetConnectionClosed"
	ClientConnectionClosed     Failure = "ClientConnectionClosed"
	ClientProtocolError        Failure = "ClientProtocolError"
	ClientAccessDenied         Failure = "ClientAccessDenied"
	ConnectionDurationExceeded Failure = "ConnectionDurationExceeded"
	InternalError              Failure = "InternalError"
)

// refusal is an answer that the proxy gives itself.
type refusal struct {
	status  int
	text    string
	failure Failure
	problem error // what else there is to say, if nobody knows better
	byRule  bool  // the answer of a rule, which clients of gRPC get as it is too
}

// The refusals. Which status AWS gives is documented for some of them only (facts in UG troubleshooting; A-189).
var (
	unknownHost = refusal{status: 404, text: "Not Found", problem: errUnknownHost}
	// Auth policies are stored, and not evaluated yet. Whoever asks for authorization must not get traffic without it.
	notAuthorized     = refusal{status: 403, text: "AccessDeniedException: auth policies are not evaluated yet, so all requests to services and service networks of authType AWS_IAM are denied", failure: ClientAccessDenied} // A-164
	noTarget          = refusal{status: 503, text: "service not available", failure: TargetConnectionError, problem: errNoTarget}
	noVersionForThis  = refusal{status: 502, text: "Bad Gateway", failure: TargetProtocolError, problem: errWrongVersion}
	cannotConnect     = refusal{status: 500, text: "Internal Server Error", failure: TargetConnectionError}
	brokenByTarget    = refusal{status: 502, text: "Bad Gateway", failure: TargetConnectionClosed}
	malformedByTarget = refusal{status: 502, text: "Bad Gateway", failure: TargetProtocolError}
	loop              = refusal{status: 508, text: "Loop Detected", failure: TargetConnectionError, problem: errLoop}
	lateTarget        = refusal{status: 504, text: "Gateway Timeout", failure: TargetDataTimeout, problem: errSilence}
	lateClient        = refusal{status: 408, text: "Request Timeout", failure: ClientConnectionClosed}
	clientGone        = refusal{status: 400, text: "Bad Request", failure: ClientConnectionClosed}
	malformed         = refusal{status: 400, text: "Bad Request", failure: ClientProtocolError}
	plainToHTTPS      = refusal{status: 400, text: "This is an HTTPS listener", failure: ClientProtocolError}
	misdirected       = refusal{status: 421, text: "Misdirected Request", problem: errOtherService}
	wrongVersion      = refusal{status: 505, text: "HTTP Version Not Supported", failure: ClientProtocolError}
	connectMethod     = refusal{status: 501, text: "Not Implemented", failure: ClientProtocolError}
	foreign           = refusal{status: 400, failure: ClientProtocolError} // never sent
	tooOld            = refusal{status: 500, text: "Internal Server Error", failure: ConnectionDurationExceeded}
	internalFault     = refusal{status: 500, text: "Internal Server Error", failure: InternalError}
	stopping          = refusal{status: 503, text: "service not available", failure: InternalError}
)

// What is wrong when no error says so.
var (
	errUnknownHost  = errors.New("no service answers to this host on this port")
	errOtherService = errors.New("the host belongs to another service than the TLS server name")
	errNoTarget     = errors.New("the target group has no target that requests can be sent to")
	errWrongVersion = errors.New("the target group's protocol version cannot carry the request")
	errLoop         = fmt.Errorf("the request has passed through Trellis %d times: the target leads back to a listener, of this node or of another, from which the request came; register what serves it", maxHops)
	errSilence      = errors.New("nothing came from the target for the idle timeout")
	errLateHead     = errors.New("the head of the request did not come in time")
)

// fixedResponse returns the answer of a rule with a fixed response. The text of 404 is AWS's; that of 500 is by
// analogy.
func fixedResponse(status int) refusal {
	return refusal{status: status, text: statusText(status), byRule: true}
}

// violationRefusal returns the answer to a malformed request.
func violationRefusal(err error) refusal {
	if err == http1.BadVersion {
		return wrongVersion
	}
	return malformed
}

// clientError says that an attempt failed because of what the client sent, or did not send.
type clientError struct{ Err error }

func (e *clientError) Error() string { return "reading the request: " + e.Err.Error() }
func (e *clientError) Unwrap() error { return e.Err }

// targetRefusal returns the answer when an attempt on a target has failed for good.
func targetRefusal(err error) refusal {
	if client, ok := errors.AsType[*clientError](err); ok {
		if _, ok := errors.AsType[http1.Violation](client.Err); ok {
			return malformed
		}
		return clientGone
	}
	if _, ok := errors.AsType[*upstream.DialError](err); ok {
		if errors.Is(err, context.Canceled) {
			return stopping
		}
		return cannotConnect
	}
	if _, ok := errors.AsType[*upstream.UnknownCarrierError](err); ok {
		return internalFault
	}
	if _, ok := errors.AsType[http1.Violation](err); ok {
		return malformedByTarget
	}
	return brokenByTarget
}

// causeRefusal returns the answer when the sweeper has ended the wait for a target.
func causeRefusal(why cause) refusal {
	switch why {
	case causeTimeout:
		return lateTarget
	case causeGone:
		return clientGone
	case causeLifetime:
		return tooOld
	default:
		return stopping
	}
}

// statusText returns the reason phrase of the statuses that the proxy gives itself.
func statusText(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 404:
		return "Not Found"
	case 408:
		return "Request Timeout"
	case 421:
		return "Misdirected Request"
	case 500:
		return "Internal Server Error"
	case 501:
		return "Not Implemented"
	case 502:
		return "Bad Gateway"
	case 503:
		return "Service Unavailable"
	case 504:
		return "Gateway Timeout"
	case 505:
		return "HTTP Version Not Supported"
	case 508:
		return "Loop Detected"
	default:
		return "Unknown"
	}
}
