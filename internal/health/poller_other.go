//go:build !linux

package health

import (
	"context"
	"time"

	"trellis/internal/outbound"
)

// call is empty here.
type call struct{}

// poller does not exist here: each check has a goroutine.
type poller struct{ dialer *outbound.Dialer }

func newPoller(*outbound.Dialer, func(*check, outcome, []byte)) (*poller, error) {
	return nil, nil
}

func (*poller) begin(context.Context, *check) {}
func (*poller) drop(*check) string            { return "" }
func (*poller) close()                        {}
func (*poller) set(time.Time)                 {}
func (*poller) wake()                         {}
func (*poller) sleep()                        {}
