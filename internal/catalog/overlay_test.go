package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"trellis/internal/lattice"
)

// naive is the state that an overlay should show: all records with their places, in plain maps.
type naive struct {
	records map[lattice.Key]lattice.Record
	places  map[lattice.Key]Cursor
	stored  map[lattice.Key]Cursor // the places of what is in the base
}

func (n *naive) clone() *naive {
	return &naive{maps.Clone(n.records), maps.Clone(n.places), n.stored}
}

func (n *naive) put(rec lattice.Record) {
	key := rec.Key()
	place, ok := n.stored[key]
	if !ok {
		place = Cursor{uncommitted, key.String()}
	}
	n.records[key], n.places[key] = rec, place
}

func (n *naive) delete(key lattice.Key) {
	delete(n.records, key)
	delete(n.places, key)
}

func (n *naive) deleteTree(root lattice.Key) {
	for key := range n.records {
		if key.Kind == root.Kind && key.Scope == root.Scope && (key.Path == root.Path || strings.HasPrefix(key.Path, root.Path+"/")) {
			n.delete(key)
		}
	}
}

func (n *naive) list(index lattice.Index, after Cursor) []lattice.Key {
	var keys []lattice.Key
	for key, rec := range n.records {
		if slices.Contains(rec.Indexes(), index) && n.places[key].Compare(after) > 0 {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b lattice.Key) int { return n.places[a].Compare(n.places[b]) })
	return keys
}

func (n *naive) holders(claim lattice.Claim) []lattice.Key {
	var keys []lattice.Key
	for key, rec := range n.records {
		if slices.Contains(rec.Claims(), claim) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b lattice.Key) int { return cmp.Compare(a.String(), b.String()) })
	return keys
}

// world makes records of which many share keys, names and parents.
type world struct{ random *rand.Rand }

func (w world) group() *lattice.TargetGroup {
	g := &lattice.TargetGroup{Base: lattice.Base{
		ID:    fmt.Sprintf("tg-%d", w.random.IntN(6)),
		Name:  fmt.Sprintf("name-%d", w.random.IntN(6)),
		Scope: scope,
	}, Type: "IP"}
	if w.random.IntN(4) == 0 {
		g.Lifecycle.Phase = lattice.PhaseDelete
	}
	return g
}

func (w world) rule() *lattice.Rule {
	r := &lattice.Rule{
		Base:       lattice.Base{ID: fmt.Sprintf("rule-%d", w.random.IntN(3)), Scope: scope},
		ServiceID:  fmt.Sprintf("svc-%d", w.random.IntN(2)),
		ListenerID: fmt.Sprintf("listener-%d", w.random.IntN(2)),
		Priority:   int32(w.random.IntN(3)),
	}
	r.Name = fmt.Sprintf("rule-%d", r.Priority)
	for range w.random.IntN(3) {
		r.TargetGroupIDs = append(r.TargetGroupIDs, fmt.Sprintf("tg-%d", w.random.IntN(3)))
	}
	return r
}

func (w world) record() lattice.Record {
	if w.random.IntN(2) == 0 {
		return w.group()
	}
	return w.rule()
}

// root returns where a tree may begin: a service's or listener's rules, a rule, or a target group.
func (w world) root() lattice.Key {
	key := w.record().Key()
	segments := strings.Split(key.Path, "/")
	key.Path = strings.Join(segments[:1+w.random.IntN(len(segments))], "/")
	return key
}

func TestAnOverlayShowsStoredRecordsWithTheWrites(t *testing.T) {
	for seed := range uint64(100) {
		w := world{rand.New(rand.NewPCG(seed, 1))}
		base := newTable(0)
		want := &naive{records: map[lattice.Key]lattice.Record{}, places: map[lattice.Key]Cursor{}, stored: map[lattice.Key]Cursor{}}
		for i := range w.random.IntN(20) {
			rec := w.record()
			if key := rec.Key(); base.row(key) == nil {
				r := &row{rec: rec, at: Cursor{int64(i / 3), key.String()}}
				base.add(r)
				base.claim(r)
				want.records[key], want.places[key], want.stored[key] = rec, r.at, r.at
			}
		}
		for _, rec := range want.records { // The base has each claim once.
			for _, claim := range rec.Claims() {
				for _, key := range want.holders(claim)[1:] {
					base.unclaim(base.row(key))
					base.remove(base.row(key))
					want.delete(key)
					delete(want.stored, key)
				}
				base.claim(base.row(want.holders(claim)[0]))
			}
		}

		o := newOverlay(base)
		for range w.random.IntN(12) {
			before := want.clone()
			for range 1 + w.random.IntN(5) {
				switch w.random.IntN(5) {
				case 0:
					key := w.record().Key()
					o.delete(key)
					want.delete(key)
				case 1:
					root := w.root()
					o.deleteTree(root)
					want.deleteTree(root)
				default:
					rec := w.record()
					o.put(rec, []byte("value"), 0)
					want.put(rec)
				}
				compareViews(t, w, want, o)
			}
			if claimed := o.claimed() != nil; claimed != want.claimed() {
				t.Fatalf("seed %d: claimed is %v", seed, claimed)
			}
			if w.random.IntN(3) == 0 || want.claimed() {
				o.rollback()
				want = before
				compareViews(t, w, want, o)
			} else {
				o.keep()
			}
			compareStores(t, want, o)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (n *naive) claimed() bool {
	for _, rec := range n.records {
		for _, claim := range rec.Claims() {
			if len(n.holders(claim)) > 1 {
				return true
			}
		}
	}
	return false
}

func compareViews(t *testing.T, w world, want *naive, got *overlay) {
	t.Helper()
	for range 4 {
		rec := w.record()
		r, ok := got.Get(rec.Key())
		if wanted, present := want.records[rec.Key()]; ok != present || ok && r != wanted {
			t.Errorf("Get(%s) is %v", rec.Key(), r)
		}
		for _, claim := range rec.Claims() {
			holder, ok := got.Holder(claim)
			if holders := want.holders(claim); ok != (len(holders) > 0) || ok && !slices.Contains(holders, holder) {
				t.Errorf("Holder(%v) is %v, want one of %v", claim, holder, holders)
			}
		}
		for _, index := range rec.Indexes() {
			all := want.list(index, Cursor{})
			after := Cursor{}
			if len(all) > 0 && w.random.IntN(2) == 0 {
				after = want.places[all[w.random.IntN(len(all))]]
			}
			var keys []lattice.Key
			stop := 1 + w.random.IntN(8)
			got.List(index, after, func(rec lattice.Record, at Cursor) bool {
				if at != want.places[rec.Key()] {
					t.Errorf("%s is listed at %v", rec.Key(), at)
				}
				keys = append(keys, rec.Key())
				return len(keys) < stop
			})
			expected := want.list(index, after)
			if diff := gocmp.Diff(expected[:min(stop, len(expected))], keys); diff != "" {
				t.Errorf("List(%v, %v):\n%s", index, after, diff)
			}
			if n := got.Count(index); n != len(all) {
				t.Errorf("Count(%v) is %d, want %d", index, n, len(all))
			}
		}
	}
}

// compareStores does to the keys of the base what the overlay's operations say, by etcd's rules.
func compareStores(t *testing.T, want *naive, o *overlay) {
	t.Helper()
	keys := map[string]bool{}
	for key := range o.base.rows {
		keys[prefix+key] = true
	}
	ops := o.ops(0)
	if len(ops) != o.operations {
		t.Errorf("%d operations, but %d were counted", len(ops), o.operations)
	}
	puts := map[string]bool{}
	bytes := 0
	for _, op := range ops {
		if op.IsPut() {
			if puts[string(op.KeyBytes())] {
				t.Errorf("%s is put twice", op.KeyBytes())
			}
			puts[string(op.KeyBytes())] = true
			keys[string(op.KeyBytes())] = true
		}
		if op.RangeBytes() == nil {
			bytes += len(op.KeyBytes()) + len(op.ValueBytes())
		}
	}
	if bytes != o.bytes {
		t.Errorf("%d bytes, but %d were counted", bytes, o.bytes)
	}
	for _, op := range ops {
		if !op.IsDelete() {
			continue
		}
		for key := range keys {
			if key == string(op.KeyBytes()) || op.RangeBytes() != nil && key >= string(op.KeyBytes()) && key < string(op.RangeBytes()) {
				if puts[key] {
					t.Errorf("%s is put and deleted", key)
				}
				delete(keys, key)
			}
		}
	}
	expected := map[string]bool{}
	for key := range want.records {
		expected[prefix+key.String()] = true
	}
	if diff := gocmp.Diff(expected, keys); diff != "" {
		t.Errorf("what is stored:\n%s", diff)
	}
}
