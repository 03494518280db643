package trellistest

import (
	"bytes"
	"sync"
)

// Text is what several goroutines or processes write, such as a log. It can be read at any time.
type Text struct {
	mu sync.Mutex // mu guards the field below.
	b  bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (t *Text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

// String returns what has been written, without what was taken.
func (t *Text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// Take returns what has been written since it was called last.
func (t *Text) Take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.b.Reset()
	return t.b.String()
}
