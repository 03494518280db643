// Package apitest is support for tests of the API: an implementation of all operations that calls one function,
// a valid request for each operation, and a request that breaks each constraint of the model on an input. The requests are
// made from the generated data of package bounds.
//
// It is used by the tests of package api, and by those that run the same requests against a whole server.
package apitest

import (
	"context"

	"trellis/internal/api"
)

// Operations implements api.Operations with one function, which gets the operation's name and its input (a
// pointer to the request's structure). Each operation returns an empty response, or the error that the function returns.
type Operations func(ctx context.Context, operation string, caller api.Caller, in any) error
