package function

import (
	"fmt"
	"strings"
	"time"
)

// UnknownError says that there is no way to run or reach a function.
type UnknownError struct{ ARN string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the function %s is not known: give it a command or an endpoint in the inventory (--inventory), or in dev declare it with --function NAME=COMMAND; with AWS_ENDPOINT_URL_LAMBDA set, functions that are not known are invoked there", e.ARN)
}

// ThrottledError says that all of a function's processes were busy for too long, or that too many events waited for them.
type ThrottledError struct {
	Function    string
	Concurrency int // 0 if another API throttled
	Err         error
}

func (e *ThrottledError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("the function %s is throttled: %v", e.Function, e.Err)
	}
	return fmt.Sprintf("the function %s is throttled: all of its %d processes are busy (concurrency)", e.Function, e.Concurrency)
}

func (e *ThrottledError) Unwrap() error { return e.Err }

// TimeoutError says that a function did not answer in its time. Its process has been killed.
type TimeoutError struct {
	Function string
	Timeout  time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the function %s timed out after %v", e.Function, e.Timeout)
}

// StartError says that a function's program cannot start. It is tried again when one of its files or its entry changes.
type StartError struct {
	Function string
	Reason   string
	// LastLines are the last lines that the program wrote.
	LastLines []string
}

func (e *StartError) Error() string {
	return fmt.Sprintf("the program of the function %s cannot start: %s", e.Function, reasonWith(e.Reason, e.LastLines))
}

// EndedError says that a function's process ended in the middle of an event.
type EndedError struct {
	Function  string
	Reason    string
	LastLines []string
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("the process of the function %s ended in the middle of an event: %s", e.Function, reasonWith(e.Reason, e.LastLines))
}

func reasonWith(reason string, lines []string) string {
	if len(lines) == 0 {
		return reason
	}
	return reason + "; it wrote: " + strings.Join(lines, " | ")
}

// HandlerError is an error that a function reported instead of a response.
type HandlerError struct {
	Function string
	Type     string
	Message  string
}

func (e *HandlerError) Error() string {
	text := fmt.Sprintf("the function %s failed", e.Function)
	if e.Type != "" {
		text += " with " + e.Type
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// TooLargeError says that an event, or a response, is larger than MaxPayload.
type TooLargeError struct {
	Function string
	What     string // "event" or "response"
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the %s of the function %s is larger than %d bytes", e.What, e.Function, MaxPayload)
}

// UnreachableError says that a function's Lambda API cannot be reached, or refuses.
type UnreachableError struct {
	Function string
	Endpoint string // empty for AWS's API
	Err      error
}

func (e *UnreachableError) Error() string {
	at := "its Lambda API"
	if e.Endpoint != "" {
		at = "the Lambda API at " + e.Endpoint
	}
	return fmt.Sprintf("invoking the function %s by %s: %v", e.Function, at, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }
