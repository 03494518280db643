package network

import (
	"slices"
	"strings"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// Config is what a Store works with.
type Config struct {
	Catalog *catalog.Catalog
	// Addresses decides which addresses targets may have.
	Addresses lattice.AddressPolicy
	// Domain is the parent of generated service names.
	Domain string
	// Changed is called when records have been stored that no operation has made. It may be nil.
	Changed func()
}

// Store exports from a catalog and imports into it.
type Store struct{ Config }

// New returns a Store.
func New(cfg Config) *Store {
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	return &Store{cfg}
}

// Export returns the network of an account in one Region as a document: all records except for client tokens and temporary
// credentials, which expire by themselves.
func (s *Store) Export(scope lattice.Scope) ([]byte, error) {
	var records []lattice.Record
	for _, stored := range s.Catalog.Records() {
		if stored.Key().Scope == scope && isExported(stored.Key().Kind) {
			records = append(records, stored.Record)
		}
	}
	// They are sorted by id, so that the same network always gives the same text.
	slices.SortFunc(records, func(a, b lattice.Record) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	return encode(scope, records)
}

func isExported(kind lattice.Kind) bool {
	return slices.ContainsFunc(sections, func(s section) bool { return s.kind == kind })
}
