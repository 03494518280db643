package catalog

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"trellis/internal/lattice"
)

func TestARestartFindsEverything(t *testing.T) {
	dir := t.TempDir()
	c := start(t, Config{DataDir: dir})
	s := service()
	put(t, c, s, group("a"))
	put(t, c, group("b"))
	put(t, c, rule(s, 1), rule(s, 2))
	want := dump(c)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, Config{DataDir: dir})
	if got := dump(again); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	put(t, again, group("c"))
	if got, want := namesOf(again), []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// dump lists all records of a replica with their places.
func dump(c *Catalog) (list []string) {
	c.Read(func(v View) {
		t := v.(*table)
		for _, r := range t.rows {
			value, err := encode(r.rec)
			list = append(list, fmt.Sprintln(r.at, r.modified, string(value), err))
		}
		for index, tree := range t.lists.trees {
			list = append(list, fmt.Sprintln(index, tree.Len()))
		}
		for claim, holder := range t.claims {
			list = append(list, fmt.Sprintln(claim, holder.at.Key))
		}
	})
	slices.Sort(list)
	return list
}

// killedDirectory names the data directory of the process that TestAcknowledgedWritesSurviveAKill kills.
const killedDirectory = "TRELLIS_TEST_KILLED_DIRECTORY"

func TestAcknowledgedWritesSurviveAKill(t *testing.T) {
	if dir := os.Getenv(killedDirectory); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	t.Parallel()
	dir := t.TempDir()
	var acknowledged []string
	for round := range 3 {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), killedDirectory+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 150*(round+1) && lines.Scan(); n++ {
			acknowledged = append(acknowledged, strings.TrimPrefix(lines.Text(), "stored "))
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what was acknowledged between our decision and its end
			acknowledged = append(acknowledged, strings.TrimPrefix(lines.Text(), "stored "))
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the process ended by itself")
		}

		c := start(t, Config{DataDir: dir})
		c.Read(func(v View) {
			for _, id := range acknowledged {
				if _, ok := v.Get(lattice.TargetGroupKey(scope, id)); !ok {
					t.Errorf("round %d: %s is gone", round, id)
				}
			}
		})
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if len(acknowledged) < 3*150 {
		t.Errorf("only %d were acknowledged", len(acknowledged))
	}
}

// writeUntilKilled creates target groups, and reports each one that is stored.
func writeUntilKilled(t *testing.T, dir string) {
	c, err := Open(t.Context(), Config{DataDir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	for range 4 {
		writing.Go(func() {
			for range 10_000 {
				g := group(lattice.NewID(lattice.KindTargetGroup))
				if err := c.Commit(context.Background(), func(tx *Tx) error { tx.Put(g); return nil }); err != nil {
					return
				}
				fmt.Printf("stored %s\n", g.ID)
			}
		})
	}
	writing.Wait()
}
