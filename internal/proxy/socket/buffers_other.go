//go:build !linux

package socket

import "syscall"

// BoundUnsent does nothing here: how much is buffered is left to the system.
func BoundUnsent(syscall.Conn, int) {}

// HoldReceiveBuffer does nothing here.
func HoldReceiveBuffer(syscall.Conn) {}

// WidenReceiveBuffer does nothing here.
func WidenReceiveBuffer(syscall.Conn, int) {}
