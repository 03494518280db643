//go:build !linux

package socket

import "syscall"

// FreeBind does nothing: only Linux lets a socket be bound to an address that no interface has.
func FreeBind(string, string, syscall.RawConn) error { return nil }
