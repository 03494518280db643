package lattice

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTagsHaveTheDocumentedCharacters(t *testing.T) {
	tags := map[string]string{
		"Team": "a b", "_.:/=+-@": "", "größe": "Ⅻ 日本語", "with aws: inside": "aws:value",
		"aws:x": "", "Aws:": "", " a": "", "b ": "", "c": " x", "d": "x\t", "e!": "", "f": "<b>", "g": "a\x00",
	}
	want := []string{`tags[" a"]`, `tags["Aws:"]`, `tags["aws:x"]`, `tags["b "]`, `tags["c"]`, `tags["d"]`, `tags["e!"]`, `tags["f"]`, `tags["g"]`}
	if diff := cmp.Diff(want, wrongFields(TagProblems(tags))); diff != "" {
		t.Errorf("wrong tags (-want +got):\n%s", diff)
	}
}

func TestResourceHasAtMostFiftyTags(t *testing.T) {
	tags := map[string]string{}
	for i := range maxTags {
		tags[strconv.Itoa(i)] = ""
	}
	if problems := TagCountProblem(tags); problems != nil {
		t.Error(problems)
	}
	more := maps.Clone(tags)
	more["one more"] = ""
	if problems := TagCountProblem(more); !slices.Equal(wrongFields(problems), []string{"tags"}) {
		t.Error(problems)
	}
}
