package proxy

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"

	"trellis/internal/proxy/socket"
)

// napTicks is for how many ticks a connection is idle before it takes a nap.
const napTicks = 8

// mayNap says whether a wait has ended only because the connection is to take a nap. If so, it can be waited for again.
func (c *connection) mayNap() bool {
	word := c.watch.word.Load()
	if wordCause(word) != causeNap {
		return false
	}
	c.watch.word.Store(watchWord(phaseIdle, wordDeadline(word))) // The sweeper leaves a word alone that has a cause.
	c.ended(causeNap)
	return true
}

// nap waits for the client's next request with as little memory as possible, and then serves the connection. It runs on
// a goroutine of its own: the stack of the one that carried requests has grown, and the collector would leave it at
// twice the size that a goroutine starts with, since it reserves a part of it.
func (c *connection) nap() {
	c.rest()
	if c.secured != nil {
		dropBuffers(c.secured.conn)
	}
	looked := false
	// If the wait fails, so does the next one, which knows what to do.
	_ = c.raw.Read(func(fd uintptr) bool {
		if looked {
			return true
		}
		looked = true
		return !socket.Silent(fd) // Something may have come meanwhile, of which the poller would not tell again.
	})
	c.serve()
}

// tlsBuffers are where a tls.Conn has its buffers for what has been received: records, and messages of the handshake.
// It keeps them for as long as it lives, as large as they have been: 4 KB for a ClientHello with a key of ML-KEM, 16 KB
// and more for a body. There is no other way to give them back; where another version of Go has something else, they
// are not found and stay.
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
