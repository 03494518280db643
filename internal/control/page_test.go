package control

import (
	"encoding/base64"
	"testing"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// A token that a client made up or changed is refused, and crashes nothing.
func FuzzPageToken(f *testing.F) {
	q := query{Operation: "ListTargetGroups", Index: lattice.All(lattice.KindTargetGroup, lattice.Scope{Account: "123456789012", Region: "us-west-2"})}
	given := q.token(catalog.Cursor{Revision: 300, Key: "targetgroup/123456789012/us-west-2/tg-1"})
	for _, seed := range []string{given, "", "a", given[:16], given + "AA", given + "\n", "====", base64.RawURLEncoding.EncodeToString(make([]byte, 40))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		q := q
		q.NextToken = &token
		at, err := q.cursor()
		if err == nil && q.token(at) != token {
			t.Errorf("%q is taken for %+v", token, at)
		}
	})
}

func TestTokenDecodesToItsCursor(t *testing.T) {
	q := query{Operation: "ListTargets", Filter: "10.0.0.1 80"}
	for _, want := range []catalog.Cursor{{}, {Revision: 1, Key: "k"}, {Revision: 1 << 40, Key: "target/ü/\x00"}} {
		token := q.token(want)
		asked := q
		asked.NextToken = &token
		if got, err := asked.cursor(); err != nil || got != want {
			t.Errorf("%+v comes back as %+v, %v", want, got, err)
		}
		for _, other := range []query{{Operation: "ListServices"}, {Operation: "ListTargets"}, {Operation: "ListTargets", Filter: q.Filter, Index: lattice.Deleting}} {
			other.NextToken = &token
			if _, err := other.cursor(); err == nil {
				t.Errorf("%+v takes a token of %+v", other, q)
			}
		}
	}
}
