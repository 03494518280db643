//go:build !linux

package server

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

// UpgradeSignals are the signals on which a new process replaces a node. This system does not support that, so there are none.
func UpgradeSignals() []os.Signal { return nil }

// channel connects the two processes of an upgrade, on Linux.
type channel struct{}

func newChannel() (*channel, *os.File, error) { return nil, nil, errors.ErrUnsupported }

func openChannel(uintptr) (*channel, error) { return nil, errors.ErrUnsupported }

func (c *channel) close() {}

func (c *channel) send(context.Context, message, syscall.Conn) error { return errors.ErrUnsupported }

func (c *channel) receive(context.Context) (message, net.Listener, error) {
	return message{}, nil, errors.ErrUnsupported
}
