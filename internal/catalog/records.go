package catalog

import (
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
