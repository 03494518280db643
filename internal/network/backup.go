package network

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"trellis/internal/lattice"
)

// A backup is compressed lines of JSON: a head, a line for each record in order of creation, and an end. Without the end it is
// not complete.
type backupHead struct {
	Trellis string    `json:"trellis"` // "backup"
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	Count   int       `json:"count"`
}

// backupLine is a record, or the end.
type backupLine struct {
	Key string `json:"key,omitempty"`
	// Created is equal for records that were created in one transaction. They are restored in one too, so that lists keep
	// their order.
	Created int64           `json:"created,omitempty"`
	Record  json.RawMessage `json:"record,omitempty"`
	// End is how many records there were.
	End *int `json:"end,omitempty"`
}

// longestLine is longer than any record. The longest ones are the targets of a group.
const longestLine = 16 << 20

// Backup writes all records of all accounts at one revision. That includes temporary credentials with their secrets.
func (s *Store) Backup(w io.Writer) error {
	records := s.Catalog.Records()
	compressed := gzip.NewWriter(w)
	buffered := bufio.NewWriter(compressed)
	encoder := json.NewEncoder(buffered)
	if err := encoder.Encode(backupHead{"backup", formatVersion, time.Now().UTC(), len(records)}); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	for _, stored := range records {
		value, err := json.Marshal(stored.Record)
		if err != nil {
			return fmt.Errorf("writing %s: %w", stored.Key(), err)
		}
		if err := encoder.Encode(backupLine{Key: stored.At.Key, Created: stored.At.Revision, Record: value}); err != nil {
			return fmt.Errorf("writing the backup: %w", err)
		}
	}
	count := len(records)
	if err := errors.Join(encoder.Encode(backupLine{End: &count}), buffered.Flush(), compressed.Close()); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return nil
}

// NotEmptyError says that a backup cannot be restored, since the store is not empty.
type NotEmptyError struct{ Records int }

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("the store holds %d records; a backup is restored into an empty one", e.Records)
}

// Restore stores all that a backup holds, and returns how many records it has. The store must be empty, since a backup holds
// everything: records that are there already would be mixed with those of another time.
func (s *Store) Restore(ctx context.Context, r io.Reader, progress Progress) (int, error) {
	if n := len(s.Catalog.Records()); n > 0 {
		return 0, &NotEmptyError{n}
	}
	records, created, err := readBackup(r)
	if err != nil {
		return 0, &DocumentError{fmt.Errorf("reading the backup: %w", err)}
	}
	defer s.Changed()
	for done := 0; done < len(records); {
		end := done + 1
		for end < len(records) && created[end] == created[done] {
			end++
		}
		if err := s.write(ctx, records[done:end], func(int, int) {}); err != nil {
			return done, err
		}
		done = end
		progress(done, len(records))
	}
	return len(records), nil
}

// readBackup reads a backup to its end before any of it is stored.
func readBackup(r io.Reader) (records []lattice.Record, created []int64, err error) {
	compressed, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	lines := bufio.NewScanner(compressed)
	lines.Buffer(nil, longestLine)
	var head backupHead
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Trellis != "backup" {
		return nil, nil, errors.Join(errors.New("it is not a backup of Trellis"), lines.Err())
	}
	if head.Version != formatVersion {
		return nil, nil, fmt.Errorf("it has the version %d; this Trellis reads version %d", head.Version, formatVersion)
	}
	decoder := lattice.NewDecoder()
	for lines.Scan() {
		var line backupLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, nil, err
		}
		if line.End != nil {
			if *line.End != len(records) || *line.End != head.Count {
				return nil, nil, fmt.Errorf("it has %d records and should have %d", len(records), head.Count)
			}
			return records, created, nil
		}
		key, ok := lattice.ParseKey(line.Key)
		if !ok {
			return nil, nil, fmt.Errorf("%q is not the key of a record", line.Key)
		}
		rec, err := decoder.Decode(key, line.Record)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", line.Key, err)
		}
		records, created = append(records, rec), append(created, line.Created)
	}
	return nil, nil, errors.Join(fmt.Errorf("it ends after %d records of %d", len(records), head.Count), lines.Err())
}
