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
	// hasBody says that the body holds a part of the input. Otherwise the body is ignored: A-109.
	hasBody bool
	// mutates says that the operation may change something.
	mutates bool
	// resource is the end of the ARN of what the operation is about, with {} for each label: service/{}/listener/*.
	// It is {} alone where the label is an ARN, or an id of any kind.
	resource string
	// call decodes the input and, if nothing is wrong with it and the caller may do it, calls the operation. It
	// returns the output.
	call func(ctx context.Context, c *apiCall, d *decoder) (any, error)
}

// call binds the decoder of an operation's input to its method.
func call[In, Out any](
	decode func(*decoder) *In, method func(Operations, context.Context, Caller, *In) (*Out, error),
) func(context.Context, *apiCall, *decoder) (any, error) {
	return func(ctx context.Context, c *apiCall, d *decoder) (any, error) {
		in := decode(d)
		if err := d.err(); err != nil {
			return nil, err
		}
		c.input = in
		if err := c.authorize(&d.labels); err != nil {
			return nil, err
		}
		out, err := method(c.cfg.Operations, ctx, c.caller, in)
		if err != nil {
			return nil, err
		}
		if out == nil {
			return nil, fmt.Errorf("the operation returned neither a %T nor an error", out)
		}
		c.output = out
		return out, nil
	}
}
