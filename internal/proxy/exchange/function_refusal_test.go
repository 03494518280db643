package exchange

import (
	"errors"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/function"
	"trellis/internal/function/event"
	"trellis/internal/function/gateway"
	"trellis/internal/proxy/upstream"
)

func TestEachFailureOfAFunctionHasItsStatusAndReason(t *testing.T) {
	for _, test := range []struct {
		err     error
		status  int
		failure accesslog.Failure
	}{
		{&function.HandlerError{}, 502, accesslog.LambdaUnhandled},
		{&function.EndedError{}, 502, accesslog.LambdaUnhandled},
		{&function.StartError{}, 502, accesslog.LambdaInitError},
		{&function.TimeoutError{}, 504, accesslog.LambdaTimeout},
		{&function.ThrottledError{}, 503, accesslog.LambdaTooManyRequests},
		{&event.InvalidResponseError{}, 502, accesslog.LambdaInvalidResponse},
		{&event.InvalidBodyError{Err: errors.New("")}, 502, accesslog.LambdaInvalidBody},
		{&function.TooLargeError{What: "response"}, 502, accesslog.LambdaResponseTooLarge},
		{&function.TooLargeError{What: "event"}, 413, accesslog.LambdaRequestTooLarge},
		{&gateway.BodyError{TooLarge: true}, 413, accesslog.LambdaRequestTooLarge},
		{&gateway.BodyError{Err: errors.New("")}, 400, accesslog.ClientConnectionClosed},
		{&function.UnreachableError{Err: errors.New("")}, 500, accesslog.LambdaConnectionError},
		{&function.UnknownError{}, 503, accesslog.LambdaNotFound},
	} {
		r := TargetRefusal(&upstream.InvocationError{Err: test.err})
		if r.Status != test.status || r.Failure != test.failure {
			t.Errorf("%T is answered %d %s", test.err, r.Status, r.Failure)
		}
	}
}

func TestFailedInvocationIsNotRepeated(t *testing.T) {
	var attempts upstream.Attempts
	decision, _ := attempts.Decide(upstream.Attempt{Err: &upstream.InvocationError{Err: errors.New("")}, Replayable: true, Idempotent: true}, time.Time{}, 0)
	if decision != upstream.GiveUp {
		t.Errorf("the decision is %d", decision)
	}
}
