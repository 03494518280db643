package console

import (
	"slices"
	"sync"
	"time"

	"trellis/internal/lattice"
)

// scopeList keeps the list of scopes. Making it takes all records, so it is not made for each page.
type scopeList struct {
	mu       sync.Mutex // mu guards the fields below.
	list     []lattice.Scope
	revision int64
	at       time.Time
}

// scopesFor is how old the list may get. A link to a new scope works at once.
const scopesFor = 2 * time.Second

// scopes returns the scopes between which the reader can choose.
func (c *Console) scopes() []lattice.Scope {
	s := &c.known
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision := c.cfg.Catalog.Revision(); s.list == nil || revision != s.revision && time.Since(s.at) > scopesFor {
		s.list, s.revision, s.at = c.cfg.Catalog.Scopes(), revision, time.Now()
		if !slices.Contains(s.list, c.cfg.Home) {
			s.list = slices.Insert(s.list, 0, c.cfg.Home)
		}
	}
	return s.list
}
