package function

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

var requestIDForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// isRequestID reports whether an id has the form of Lambda's. Clients may send any other text.
func isRequestID(id string) bool { return requestIDForm.MatchString(id) }

// newToken returns a unique name.
func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

var traceForm = regexp.MustCompile(`^[A-Za-z0-9=;:_.,-]{1,500}$`)

// traceID returns the trace header of an event: the client's, or a new one that asks for no recording
// (docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html).
func (inv *invocation) traceID() string {
	if traceForm.MatchString(inv.TraceID) {
		return inv.TraceID
	}
	token := newToken()
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0", time.Now().Unix(), token[:24], token[16:])
}
