//go:build go1.26 && !go1.27

package downstream

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// tlsBuffers are where a tls.Conn has its buffers for what it has received: records, and messages of the handshake. It keeps
// them for as long as it lives, and never makes them smaller: 4 KB for a ClientHello with a key of ML-KEM, 16 KB and more for a
// body. There is no other way to give them back.
//
// That empty buffers may be given up has been checked in the source of the versions of Go that the build constraint names. With
// other versions they are kept, until somebody has read the source, run TestTLSGoesOnWithoutItsBuffers and raised the constraint.
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

// dropBuffers gives up the buffers of a connection that nobody is reading from, if they are empty.
func dropBuffers(conn *tls.Conn) {
	for _, offset := range tlsBuffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(conn), offset)); b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}
