// Package awserror says what an API of AWS, or the network on the way to it, has said.
package awserror

import (
	"errors"
	"fmt"
	"net"

	"github.com/aws/smithy-go"
)

// Plain returns an error of AWS's SDK without its words about the SDK's middleware and without what differs from call to
// call, such as the id of the request.
func Plain(err error) error {
	if said, ok := errors.AsType[smithy.APIError](err); ok {
		return fmt.Errorf("%s: %s", said.ErrorCode(), said.ErrorMessage())
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed
	}
	return err
}
