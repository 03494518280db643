package control

import (
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// defaultPageSize is the size of a page when the client does not ask for one. AWS does not state its own.
const defaultPageSize = 100

// query is the question of a list operation: a token answers only the question that it was given for.
type query struct {
	Operation  string
	Index      lattice.Index // identifies the list; the catalog need not have such an index
	Filter     string
	MaxResults *int32
	NextToken  *string
}

// newQuery returns the question of an operation that lists an index, with the client's page size and token.
func newQuery(operation string, index lattice.Index, maxResults *int32, nextToken *string) query {
	return query{Operation: operation, Index: index, MaxResults: maxResults, NextToken: nextToken}
}

// joined describes what associations join with service networks, and how the input of a list names it.
type joined struct {
	member     string       // the input's member
	identifier *string      // its value
	kind       lattice.Kind // the kind of resource in it
	property   string       // the index of its associations
}

// ofAssociations has a query list the associations of a service network, of what they join with it, or of both; then the
// filter is the id of the service network. The properties may say which associations belong to an index.
func (q *query) ofAssociations(caller api.Caller, kind lattice.Kind, network *string, property string, with joined) error {
	networkID, err := filterID(caller, lattice.KindServiceNetwork, network)
	if err != nil {
		return err
	}
	joinedID, err := filterID(caller, with.kind, with.identifier)
	if err != nil {
		return err
	}
	switch {
	case joinedID != "":
		q.Index, q.Filter = lattice.By(kind, caller.Scope(), with.property, joinedID), networkID
	case networkID != "":
		q.Index = lattice.By(kind, caller.Scope(), property, networkID)
	default:
		return api.Rejected("Either serviceNetworkIdentifier or " + with.member + " must be given.")
	}
	return nil
}

// page returns the next summaries of an index in order of creation, and the token of the page after it.
func page[R lattice.Record, S any](v catalog.View, q query, summarise func(rec R) (S, bool)) ([]S, *string, error) {
	return pageOf(q, func(after catalog.Cursor, yield func(R, catalog.Cursor) bool) {
		v.List(q.Index, after, func(rec lattice.Record, at catalog.Cursor) bool { return yield(rec.(R), at) })
	}, summarise)
}

// pageOf returns the next summaries of what list yields after a cursor, and the token of the next page. On the last page
// the token is absent, not empty: botocore's paginators would never stop (github.com/boto/botocore, botocore/paginate.py).
// summarise leaves an item out by returning false.
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

func (q query) token(at catalog.Cursor) string { return at.Token(q.question()) }

func (q query) cursor() (catalog.Cursor, error) {
	if q.NextToken == nil {
		return catalog.Cursor{}, nil
	}
	at, ok := catalog.ParseToken(*q.NextToken, q.question())
	if !ok {
		return catalog.Cursor{}, api.Invalid("nextToken", fmt.Sprintf(
			"The token is not one that %s gave for this query. Ask for the first page without a token, and repeat the query's other parameters unchanged.", q.Operation))
	}
	return at, nil
}

// question is what a token answers.
func (q query) question() string {
	return fmt.Sprintf("%s\x00%v\x00%s", q.Operation, q.Index, q.Filter)
}
