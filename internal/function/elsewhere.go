package function

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"trellis/internal/awserror"
	"trellis/internal/inventory"
)

// Elsewhere invokes functions by the Invoke API of another Lambda: AWS's own, or a substitute. It uses the settings that
// AWS's tools find in the environment and in the shared files.
type Elsewhere struct {
	cfg ElsewhereConfig

	mu sync.Mutex // mu guards the fields below.
	// clients are by Region and endpoint.
	clients map[place]*lambda.Client
	loaded  bool
	shared  aws.Config
}

// ElsewhereConfig says which functions are invoked elsewhere, in addition to those that have an endpoint.
type ElsewhereConfig struct {
	// Endpoint is the base URL of the Lambda API for functions without an endpoint of their own. Empty means AWS's.
	Endpoint string
	// Unknown: functions that the inventory does not know are invoked at Endpoint.
	Unknown bool
}

type place struct{ region, endpoint string }

// NewElsewhere returns an Elsewhere that has not looked at the environment yet.
func NewElsewhere(cfg ElsewhereConfig) *Elsewhere {
	return &Elsewhere{cfg: cfg, clients: map[place]*lambda.Client{}}
}

// has reports whether a function is invoked elsewhere.
func (e *Elsewhere) has(f inventory.Function, known bool) bool {
	return e != nil && (f.Endpoint != nil || f.IsElsewhere || !known && e.cfg.Unknown)
}

// at is where a function is.
func (e *Elsewhere) at(f inventory.Function) string {
	if f.Endpoint != nil {
		return f.Endpoint.String()
	}
	return e.cfg.Endpoint
}

// invoke runs a function once. The SDK's own retries are off: they could run it again.
func (e *Elsewhere) invoke(ctx context.Context, f inventory.Function, in Invocation) (Response, error) {
	called := inventory.Function{ARN: in.ARN}
	at := e.at(f)
	client, err := e.client(ctx, place{called.Region(), at})
	if err != nil {
		return Response{}, &UnreachableError{called.Name(), at, err}
	}
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &in.ARN, Payload: in.Event, InvocationType: types.InvocationTypeRequestResponse})
	switch {
	case err != nil && ctx.Err() != nil:
		return Response{}, context.Cause(ctx)
	case err != nil:
		return Response{}, refusal(called.Name(), at, err)
	case out.FunctionError != nil:
		return Response{}, newHandlerError(called.Name(), aws.ToString(out.FunctionError), out.Payload)
	case len(out.Payload) > MaxPayload:
		return Response{}, &TooLargeError{called.Name(), "response"}
	}
	return Response{Payload: out.Payload}, nil
}

// refusal returns the error for a Lambda API that has not invoked a function.
func refusal(name, at string, err error) error {
	if throttled, ok := errors.AsType[*types.TooManyRequestsException](err); ok {
		return &ThrottledError{Function: name, Err: throttled}
	}
	if _, ok := errors.AsType[*types.RequestTooLargeException](err); ok {
		return &TooLargeError{name, "event"}
	}
	if missing, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return &UnreachableError{name, at, missing}
	}
	return &UnreachableError{name, at, awserror.Plain(err)}
}

func (e *Elsewhere) client(ctx context.Context, at place) (*lambda.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if client := e.clients[at]; client != nil {
		return client, nil
	}
	if !e.loaded {
		shared, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the settings of AWS's tools: %w", err)
		}
		e.shared, e.loaded = shared, true
	}
	client := lambda.NewFromConfig(e.shared, func(o *lambda.Options) {
		o.Region = at.region
		o.Retryer = aws.NopRetryer{}
		if at.endpoint != "" {
			o.BaseEndpoint = &at.endpoint
		}
	})
	e.clients[at] = client
	return client, nil
}
