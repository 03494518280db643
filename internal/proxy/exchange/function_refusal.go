package exchange

import (
	"context"
	"errors"

	"trellis/internal/accesslog"
	"trellis/internal/function"
	"trellis/internal/function/event"
	"trellis/internal/function/gateway"
)

// functionRefusal returns the refusal of a request to which a function has not responded.
func functionRefusal(err error) Refusal {
	badGateway := func(failure accesslog.Failure) Refusal {
		return Refusal{Status: 502, Text: "Bad Gateway", Failure: failure}
	}
	switch {
	case is[*function.HandlerError](err), is[*function.EndedError](err):
		return badGateway(accesslog.LambdaUnhandled)
	case is[*function.StartError](err):
		return badGateway(accesslog.LambdaInitError)
	case is[*function.TimeoutError](err):
		return Refusal{Status: 504, Text: "Gateway Timeout", Failure: accesslog.LambdaTimeout}
	case is[*function.ThrottledError](err):
		return Refusal{Status: 503, Text: "service not available", Failure: accesslog.LambdaTooManyRequests}
	case is[*event.InvalidResponseError](err):
		return badGateway(accesslog.LambdaInvalidResponse)
	case is[*event.InvalidBodyError](err):
		return badGateway(accesslog.LambdaInvalidBody)
	case is[*function.TooLargeError](err):
		return tooLargeRefusal(err)
	case is[*gateway.BodyError](err):
		if body, _ := errors.AsType[*gateway.BodyError](err); body.TooLarge {
			return Refusal{Status: 413, Text: "Content Too Large", Failure: accesslog.LambdaRequestTooLarge}
		}
		return ClientGone
	case is[*function.UnreachableError](err):
		return Refusal{Status: 500, Text: "Internal Server Error", Failure: accesslog.LambdaConnectionError}
	case is[*function.UnknownError](err):
		return Refusal{Status: 503, Text: "service not available", Failure: accesslog.LambdaNotFound}
	case errors.Is(err, context.Canceled):
		return Stopping
	default:
		return internalFault
	}
}

func tooLargeRefusal(err error) Refusal {
	if large, _ := errors.AsType[*function.TooLargeError](err); large.What == "event" {
		return Refusal{Status: 413, Text: "Content Too Large", Failure: accesslog.LambdaRequestTooLarge}
	}
	return Refusal{Status: 502, Text: "Bad Gateway", Failure: accesslog.LambdaResponseTooLarge}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
