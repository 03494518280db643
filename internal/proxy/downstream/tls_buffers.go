//go:build go1.26 && !go1.27

package downstream

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// tlsBuffers are where a tls.Conn has its buffers for what has been received: records, and messages of the handshake.
// It keeps them for as long as it lives, as large as they have been: 4 KB for a ClientHello with a key of ML-KEM, 16 KB
// and more for a body. There is no other way to give them back.
//
// That the buffers may be given up while they are empty has been checked with the source of the versions of Go that the
// build constraint names. With others they stay, until somebody has looked and raised the constraint.
// TestTLSGoesOnWithoutItsBuffers is what to run then.
var tlsBuffers = findTLSBuffers()

func findTLSBuffers() (offsets []uintptr) {
	for _, name := range []string{"rawInput", "hand"} {
		field, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
		if ok && field.Type == reflect.TypeFor[bytes.Buffer]() {
			offsets = append(offsets, field.Offset)
		}
	}
	return offsets
}

// dropBuffers gives up the buffers of a connection that nobody is reading from, as far as nothing is in them.
func dropBuffers(conn *tls.Conn) {
	for _, offset := range tlsBuffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), offset)); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
