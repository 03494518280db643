package catalog

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"trellis/internal/lattice"
)

var scope = lattice.Scope{Account: "111122223333", Region: "us-west-2"}

func group(name string) *lattice.TargetGroup {
	return &lattice.TargetGroup{Base: lattice.Base{
		ID: lattice.NewID(lattice.KindTargetGroup), Name: name, Scope: scope, CreatedAt: time.Now().UTC(),
	}, Type: "IP"}
}

func TestACommittedRecordCanBeRead(t *testing.T) {
	start := time.Now()
	c, err := Open(t.Context(), Config{Ephemeral: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
	g := group("a")
	start = time.Now()
	if err := c.Commit(t.Context(), func(tx *Tx) error { tx.Put(g); return nil }); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
	var claimed *ClaimedError
	err = c.Commit(t.Context(), func(tx *Tx) error { tx.Put(group("a")); return nil })
	if !errors.As(err, &claimed) || claimed.Holder != g.Key() {
		t.Fatal(err)
	}
	c.Read(func(v View) {
		if got, ok := Get[*lattice.TargetGroup](v, g.Key()); !ok || got.Name != "a" {
			t.Error(got)
		}
	})
	start = time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(start))
}
