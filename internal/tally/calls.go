package tally

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Call says how a call is counted: what was called, and with which error it ended. The code is empty for success.
type Call struct{ Name, Code string }

// Calls counts calls by name and by how they end. Its users must keep the number of kinds small. A call costs so much more
// than counting it that a lock does not matter. The zero value is ready for use.
type Calls struct {
	mu    sync.Mutex // mu guards the field below.
	kinds map[Call]*Durations
}

// Add counts a call.
func (c *Calls) Add(call Call, d time.Duration) {
	c.mu.Lock()
	durations := c.kinds[call]
	if durations == nil {
		durations = &Durations{}
		if c.kinds == nil {
			c.kinds = map[Call]*Durations{}
		}
		c.kinds[call] = durations
	}
	c.mu.Unlock()
	durations.Add(d)
}

// Counted is the count of one kind of calls.
type Counted struct {
	Call
	Durations Distribution
}

// Read returns what has been counted, in order.
func (c *Calls) Read() []Counted {
	c.mu.Lock()
	counted := make([]Counted, 0, len(c.kinds))
	for call, durations := range c.kinds {
		counted = append(counted, Counted{call, durations.Read()})
	}
	c.mu.Unlock()
	slices.SortFunc(counted, func(a, b Counted) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Code, b.Code)) })
	return counted
}
