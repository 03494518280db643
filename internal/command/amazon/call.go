package amazon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"go.yaml.in/yaml/v3"
)

// maxResponse bounds a response: a page has 100 items at most.
const maxResponse = 8 << 20

// object is a structure of the API, by the API's own names.
type object map[string]any

func (o object) text(name string) string {
	text, _ := o[name].(string)
	return text
}

// operation is one of the client's methods.
type operation[In, Out any] func(context.Context, *In, ...func(*vpclattice.Options)) (*Out, error)

// call performs an operation, and returns the response as it was sent: the SDK's structures have other names. The object is
// nil if there is no such resource, or if the service lacks the operation, as some substitutes for AWS do.
func call[In, Out any](ctx context.Context, r *reader, perform operation[In, Out], in *In) (object, error) {
	var status int
	var body []byte
	_, err := perform(ctx, in, func(o *vpclattice.Options) {
		o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], func(stack *middleware.Stack) error {
			return stack.Deserialize.Add(keep(&status, &body), middleware.After)
		})
	})
	name := strings.TrimSuffix(reflect.TypeFor[In]().Name(), "Input")
	if said, ok := errors.AsType[smithy.APIError](err); ok && said.ErrorCode() == "ResourceNotFoundException" {
		return nil, nil
	}
	if err != nil && status >= http.StatusBadRequest && !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		r.lacking[name] = true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var response object
	if err := yaml.Unmarshal(body, &response); err != nil { // JSON is YAML, and so numbers stay what they are.
		return nil, fmt.Errorf("the response to %s is not JSON: %w", name, err)
	}
	return response, nil
}

// keep keeps the body of a response, and lets the SDK read it too.
func keep(status *int, body *[]byte) middleware.DeserializeMiddleware {
	return middleware.DeserializeMiddlewareFunc("KeepResponse", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		response, ok := out.RawResponse.(*smithyhttp.Response)
		if err != nil || !ok {
			return out, metadata, err
		}
		text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
		if err != nil {
			return out, metadata, err
		}
		_ = response.Body.Close() // It has been read.
		response.Body = io.NopCloser(bytes.NewReader(text))
		*status, *body = response.StatusCode, text
		return out, metadata, nil
	})
}

// list performs an operation until there are no more pages, and returns all items. token is a member of in.
func list[In, Out any](ctx context.Context, r *reader, perform operation[In, Out], in *In, token **string) ([]object, error) {
	var items []object
	for {
		page, err := call(ctx, r, perform, in)
		if err != nil {
			return nil, err
		}
		some, _ := page["items"].([]any)
		for _, item := range some {
			if o, ok := item.(object); ok && !isGoing(o.text("status")) {
				items = append(items, o)
			}
		}
		next := page.text("nextToken")
		if next == "" {
			return items, nil
		}
		*token = &next
	}
}

// isGoing reports whether a resource with a status does not exist yet, or is being deleted.
func isGoing(status string) bool {
	return strings.HasPrefix(status, "CREATE_") || strings.HasPrefix(status, "DELETE_")
}
