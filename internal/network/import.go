package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// A network is stored in transactions of this size, which are within the limits of the catalog.
const (
	chunkRecords = 100
	chunkBytes   = 512 << 10
)

// Progress is called with how many of all records are done.
type Progress func(done, total int)

// Import stores the network of a document. Records that are stored already are replaced; others of the account stay. The parts of
// scope that are not empty replace those of the document, in ARNs too. It returns the number of records, and the scope of the
// network. The error is a *DocumentError if the document is wrong, and then nothing has been stored. After any other error a
// part may have been stored, and importing the document again completes it.
func (s *Store) Import(ctx context.Context, text []byte, scope lattice.Scope, progress Progress) (count int, of lattice.Scope, err error) {
	d, err := decode(text, scope)
	if err != nil {
		return 0, lattice.Scope{}, &DocumentError{err}
	}
	records, err := s.check(ctx, d)
	if err != nil {
		return 0, d.scope, err
	}
	defer s.Changed()
	return len(records), d.scope, s.write(ctx, records, progress)
}

// write stores records in their order, a part at a time.
func (s *Store) write(ctx context.Context, records []lattice.Record, progress Progress) error {
	for done := 0; done < len(records); {
		end, size := done, 0
		for end < len(records) && end-done < chunkRecords {
			text, err := json.Marshal(records[end])
			if err != nil {
				return fmt.Errorf("writing %s: %w", records[end].Key(), err)
			}
			if size += len(text); size > chunkBytes && end > done {
				break
			}
			end++
		}
		err := s.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
			for _, rec := range records[done:end] {
				if expiring, ok := rec.(lattice.Expiring); ok {
					tx.PutExpiring(expiring)
					continue
				}
				tx.Put(rec)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("storing records %d to %d of %d: %w", done+1, end, len(records), explain(err))
		}
		done = end
		progress(done, len(records))
	}
	return nil
}

// explain adds to an error about a claim of two records what the operator can do.
func explain(err error) error {
	if claimed, ok := errors.AsType[*catalog.ClaimedError](err); ok {
		return fmt.Errorf("the %s %q belongs to another record, %s %s, which is stored already; delete or rename one of them: %w",
			claimed.Claim.Of, claimed.Claim.Value, claimed.Holder.Kind, claimed.Holder.Path, err)
	}
	return err
}

// Reset deletes all records of an account in all Regions, including its temporary credentials. It returns how many it has deleted.
func (s *Store) Reset(ctx context.Context, account string) (int, error) {
	defer s.Changed()
	var keys []lattice.Key
	for _, stored := range s.Catalog.Records() {
		if key := stored.Key(); key.Scope.Account == account {
			keys = append(keys, key)
		}
	}
	for done := 0; done < len(keys); done += chunkRecords {
		chunk := keys[done:min(done+chunkRecords, len(keys))]
		err := s.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
			for _, key := range chunk {
				tx.Delete(key)
			}
			return nil
		})
		if err != nil {
			return done, fmt.Errorf("deleting records %d to %d of %d: %w", done+1, done+len(chunk), len(keys), err)
		}
	}
	return len(keys), nil
}
