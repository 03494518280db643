//go:build go1.26 && !go1.27

package downstream

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// tlsBuffers has pointers to the buffers of a tls.Conn for what it has received: records, and messages of the handshake. It
// keeps them for as long as it lives, and never makes them smaller: 4 KB for a ClientHello with a key of ML-KEM, 16 KB and
// more for a body. crypto/tls has no way to give them back.
//
// The build constraint names the versions of Go whose source shows that empty buffers may be dropped. With other versions they
// are kept. Before you raise the constraint, read the source and run TestTLSGoesOnWithoutItsBuffers.
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

// dropBuffers drops the buffers of a connection if they are empty. No read may be under way.
func dropBuffers(conn *tls.Conn) {
	for _, offset := range tlsBuffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), offset)); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
