package api

import (
	"context"
	"fmt"
)

// operation is what the handler knows of an operation. The generated table operations holds them all.
type operation struct {
	name string
	// status is the status code of success.
	status int
	// hasBody says that a part of the input is in the body. Else the body is not looked at: A-109.
	hasBody bool
	// call decodes the input and, if nothing is wrong with it, calls the operation. It returns the output.
	call func(ctx context.Context, ops Operations, caller Caller, d *decoder) (any, error)
}

// call binds the decoder of an operation's input to its method.
func call[In, Out any](
	decode func(*decoder) *In, method func(Operations, context.Context, Caller, *In) (*Out, error),
) func(context.Context, Operations, Caller, *decoder) (any, error) {
	return func(ctx context.Context, ops Operations, caller Caller, d *decoder) (any, error) {
		in := decode(d)
		if err := d.err(); err != nil {
			return nil, err
		}
		out, err := method(ops, ctx, caller, in)
		if err != nil {
			return nil, err
		}
		if out == nil {
			return nil, fmt.Errorf("the operation returned neither a %T nor an error", out)
		}
		return out, nil
	}
}
