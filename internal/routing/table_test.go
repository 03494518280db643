package routing

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/lattice"
)

var update = flag.Bool("update", false, "rewrite testdata/*.table.json")

// story is the form of testdata/*.in.json.
type story struct {
	// Unavailable are the keys of the targets that health says are not available.
	Unavailable []string `json:"unavailable"`
	// Revisions are applied one after another. Each is a list of records to create or replace, and of keys to delete.
	Revisions [][]struct {
		Put    lattice.Kind    `json:"put"`
		Record json.RawMessage `json:"record"`
		Delete string          `json:"delete"`
	} `json:"revisions"`
}

// outcome is the form of testdata/*.table.json.
type outcome struct {
	// Uses are what health was told in each revision, as keys and "unused" or "in use".
	Uses  []map[string]string `json:"uses"`
	Table Table               `json:"table"`
}

// TestStoriesCompileToTheirTables compiles each testdata/NAME.in.json and compares the outcome with NAME.table.json.
func TestStoriesCompileToTheirTables(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.json")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	expected := map[string]bool{}
	for _, input := range inputs {
		output := strings.TrimSuffix(input, ".in.json") + ".table.json"
		expected[output] = true
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in.json"), func(t *testing.T) {
			got, err := json.MarshalIndent(play(t, input), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			if *update {
				if err := os.WriteFile(output, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(output)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got; -update rewrites it):\n%s", output, diff)
			}
		})
	}
	outputs, err := filepath.Glob("testdata/*.table.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, output := range outputs {
		if expected[output] {
			continue
		}
		if !*update {
			t.Errorf("%s has no input; -update deletes it", output)
		} else if err := os.Remove(output); err != nil {
			t.Error(err)
		}
	}
}

// play applies a story to a new router.
func play(t *testing.T, input string) outcome {
	t.Helper()
	content, err := os.ReadFile(input)
	if err != nil {
		t.Fatal(err)
	}
	var s story
	decodeStrictly(t, content, &s)
	w := newWorld(t)
	for _, key := range s.Unavailable {
		w.health.down[parseKey(t, key)] = true
	}
	var result outcome
	for _, revision := range s.Revisions {
		var changes []lattice.Change
		for _, step := range revision {
			key := lattice.Key{}
			change := lattice.Change{}
			if step.Delete != "" {
				key = parseKey(t, step.Delete)
			} else {
				change.New = newRecord(t, step.Put, step.Record)
				key = change.New.Key()
			}
			change.Old = w.records[key]
			if change.Old == nil && change.New == nil {
				t.Fatalf("%s deletes %s, which is not there", input, step.Delete)
			}
			delete(w.records, key)
			if change.New != nil {
				w.records[key] = change.New
			}
			changes = append(changes, change)
		}
		uses := map[string]string{}
		for _, use := range w.Apply(changes) {
			uses[use.Key.String()] = useOf([]Use{use}, use.Key.Path)
		}
		result.Uses = append(result.Uses, uses)
	}
	result.Table = w.Table()
	return result
}

// newRecord reads a record. Its scope and the ids of target groups in actions may be left out.
func newRecord(t *testing.T, kind lattice.Kind, content []byte) lattice.Record {
	t.Helper()
	kinds := map[lattice.Kind]lattice.Record{
		lattice.KindService:                          &lattice.Service{},
		lattice.KindServiceNetwork:                   &lattice.ServiceNetwork{},
		lattice.KindServiceNetworkServiceAssociation: &lattice.ServiceNetworkServiceAssociation{},
		lattice.KindServiceNetworkVpcAssociation:     &lattice.ServiceNetworkVpcAssociation{},
		lattice.KindListener:                         &lattice.Listener{},
		lattice.KindRule:                             &lattice.Rule{},
		lattice.KindTargetGroup:                      &lattice.TargetGroup{},
		lattice.KindTarget:                           &lattice.Targets{},
	}
	record, ok := kinds[kind]
	if !ok {
		t.Fatalf("%q is not one of %v", kind, slices.Sorted(maps.Keys(kinds)))
	}
	decodeStrictly(t, content, record)
	switch record := record.(type) {
	case *lattice.Targets:
		record.Scope = scope
		for _, target := range record.Members {
			target.Scope, target.TargetGroupID = scope, record.TargetGroupID
		}
	case lattice.Resource:
		record.Meta().Scope = scope
	}
	if rule, ok := record.(*lattice.Rule); ok && rule.TargetGroupIDs == nil {
		rule.TargetGroupIDs = targetGroupIDs(rule.Action)
	}
	return record
}

func decodeStrictly(t *testing.T, content []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(content)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in %.200s", err, content)
	}
}

// parseKey reads a key without its scope: "rule/svc-1/listener-1/rule-1".
func parseKey(t *testing.T, s string) lattice.Key {
	t.Helper()
	kind, path, ok := strings.Cut(s, "/")
	if !ok {
		t.Fatalf("%q is no key", s)
	}
	return lattice.Key{Kind: lattice.Kind(kind), Scope: scope, Path: path}
}
