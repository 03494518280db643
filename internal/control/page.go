package control

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// defaultPageSize is the size of a page when the client does not ask for one. AWS does not state its own.
const defaultPageSize = 100

// query is a list operation's question: a token answers only the question that it was given for.
type query struct {
	Operation  string
	Index      lattice.Index // what is listed, whether or not the catalog has such an index
	Filter     string
	MaxResults *int32
	NextToken  *string
}

// page returns the next summaries of an index in order of creation, and the token of the page after it.
func page[R lattice.Record, S any](v catalog.View, q query, summarise func(rec R) (S, bool)) ([]S, *string, error) {
	return pageOf(q, func(after catalog.Cursor, yield func(R, catalog.Cursor) bool) {
		v.List(q.Index, after, func(rec lattice.Record, at catalog.Cursor) bool { return yield(rec.(R), at) })
	}, summarise)
}

// pageOf returns the next summaries of what list yields after a cursor, and the token of the page after it, which is
// absent on the last one: an empty token would make clients ask for ever (clients.md 4). summarise leaves an item
// out by returning false.
func pageOf[R, S any](q query, list func(after catalog.Cursor, yield func(item R, at catalog.Cursor) bool), summarise func(item R) (S, bool)) ([]S, *string, error) {
	after, err := q.cursor()
	if err != nil {
		return nil, nil, err
	}
	size := defaultPageSize
	if q.MaxResults != nil {
		size = int(*q.MaxResults)
	}
	items := make([]S, 0, min(size, 16))
	var last catalog.Cursor
	more := false
	list(after, func(item R, at catalog.Cursor) bool {
		summary, ok := summarise(item)
		if !ok {
			return true
		}
		if len(items) == size {
			more = true
			return false
		}
		items = append(items, summary)
		last = at
		return true
	})
	if !more {
		return items, nil, nil
	}
	return items, ptr(q.token(last)), nil
}

// token encodes a position. It carries a digest of the question, so that a token of another list is refused
// rather than answered from the middle of nowhere. It is no secret: a position shows nothing beyond the list itself.
func (q query) token(at catalog.Cursor) string {
	b := q.digest(at)
	b = binary.AppendUvarint(b, uint64(at.Revision))
	return base64.RawURLEncoding.EncodeToString(append(b, at.Key...))
}

func (q query) cursor() (catalog.Cursor, error) {
	if q.NextToken == nil {
		return catalog.Cursor{}, nil
	}
	refused := api.Invalid("nextToken", fmt.Sprintf(
		"The token is not one that %s gave for this query. Ask for the first page without a token, and repeat the query's other parameters unchanged.", q.Operation))
	b, err := base64.RawURLEncoding.DecodeString(*q.NextToken)
	if err != nil || len(b) < digestSize {
		return catalog.Cursor{}, refused
	}
	revision, n := binary.Uvarint(b[digestSize:])
	if n <= 0 {
		return catalog.Cursor{}, refused
	}
	at := catalog.Cursor{Revision: int64(revision), Key: string(b[digestSize+n:])}
	if q.token(at) != *q.NextToken {
		return catalog.Cursor{}, refused
	}
	return at, nil
}

const digestSize = 12

func (q query) digest(at catalog.Cursor) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%v\x00%s\x00%d\x00%s", q.Operation, q.Index, q.Filter, at.Revision, at.Key))
	return sum[:digestSize]
}
