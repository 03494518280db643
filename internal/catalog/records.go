package catalog

import (
	"cmp"
	"maps"
	"slices"

	"trellis/internal/lattice"
)

// Stored is a record with its place.
type Stored struct {
	lattice.Record
	At Cursor
}

// Records returns all records of all scopes at one revision, in order of creation.
func (c *Catalog) Records() []Stored {
	c.replica.mu.RLock()
	records := make([]Stored, 0, len(c.replica.table.rows))
	for _, r := range c.replica.table.rows {
		records = append(records, Stored{r.rec, r.at})
	}
	c.replica.mu.RUnlock()
	slices.SortFunc(records, func(a, b Stored) int { return a.At.Compare(b.At) })
	return records
}

// Scopes returns the scopes that have a resource, in order. It goes through all records.
func (c *Catalog) Scopes() []lattice.Scope {
	found := map[lattice.Scope]bool{}
	c.replica.mu.RLock()
	for _, r := range c.replica.table.rows {
		if resource, ok := r.rec.(lattice.Resource); ok {
			found[resource.Meta().Scope] = true
		}
	}
	c.replica.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(found), func(a, b lattice.Scope) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Region, b.Region))
	})
}
