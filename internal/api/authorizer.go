package api

import (
	"strings"

	"trellis/internal/lattice"
)

// Authorizer decides whether a caller may do what it asks for.
type Authorizer interface {
	// Authorize returns nil if the caller may, or else the exception that says why not. The input has been checked.
	Authorize(call Call) error
}

// Call is an operation that a caller asks for.
type Call struct {
	Caller Caller
	// Service is the prefix of the action. Empty means vpc-lattice.
	Service   string
	Operation string
	// Resource is the ARN of what the operation is about, in the partition aws whatever the client wrote. A star stands for
	// the id of what is created or listed.
	Resource string
	// Input is a pointer to the operation's request structure.
	Input any
}

// authorize asks the Authorizer about the call, once the input is known.
func (c *apiCall) authorize(l *labels) error {
	if c.cfg.Authorizer == nil {
		return nil
	}
	return c.cfg.Authorizer.Authorize(Call{
		Caller: c.caller, Operation: c.operation.name, Resource: c.operation.address(c.caller.Scope(), l), Input: c.input,
	})
}

// address returns the ARN of what the operation is about. Each label is an id or an ARN, of which the last id counts; the
// operation checks that the other ids in the ARN are those of the labels before it. If the ARNs are of another account or
// Region, so is the address; an operation refuses to mix them.
func (o *operation) address(scope lattice.Scope, l *labels) string {
	if o.resource == "{}" {
		return lattice.IdentifiedARN(scope, l[0])
	}
	tail := o.resource
	for _, label := range l {
		if label == "" {
			break
		}
		id := label
		if arn, ok := lattice.ParseARN(label); ok {
			id, scope = arn.ID(), arn.Scope
		}
		tail = strings.Replace(tail, "{}", id, 1)
	}
	return lattice.FormatARN(scope, tail)
}
