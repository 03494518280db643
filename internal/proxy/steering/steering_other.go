//go:build !linux

package steering

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"trellis/internal/lattice"
)

// Gates returns nothing here: no process steers connections.
func Gates(lattice.ResourceRange) []netip.AddrPort { return nil }

// Table exists on Linux only.
type Table struct{}

// New fails here.
func New(lattice.ResourceRange) (*Table, error) {
	return nil, fmt.Errorf("steering connections takes Linux: %w", errors.ErrUnsupported)
}

// Attach is not called here.
func (*Table) Attach([]syscall.Conn) error { return errors.ErrUnsupported }

// Set is not called here.
func (*Table) Set(netip.Addr, []lattice.PortRange) error { return errors.ErrUnsupported }

// Remove is not called here.
func (*Table) Remove(netip.Addr) {}

// Close is not called here.
func (*Table) Close() error { return nil }
