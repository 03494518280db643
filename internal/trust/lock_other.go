//go:build !linux

package trust

import (
	"context"
	"errors"
	"io"
)

// lock is for dpkg, which other systems do not have.
func lock(context.Context, string, io.Writer) (unlock func(), err error) {
	return nil, errors.ErrUnsupported
}
