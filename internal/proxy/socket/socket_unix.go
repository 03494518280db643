//go:build unix

package socket

const supported = true
