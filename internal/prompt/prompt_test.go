package prompt

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestOnlyYesContinues(t *testing.T) {
	for answer, want := range map[string]error{"y\n": nil, "YES\n": nil, "y": nil, "\n": ErrDeclined, "n\n": ErrDeclined, "yesterday\n": ErrDeclined} {
		if err := Confirm(strings.NewReader(answer), io.Discard, false); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", answer, err, want)
		}
	}
	if err := Confirm(strings.NewReader(""), io.Discard, false); err == nil || errors.Is(err, ErrDeclined) {
		t.Errorf("without an answer: %v, want an error that names --yes", err)
	}
	if err := Confirm(strings.NewReader(""), io.Discard, true); err != nil {
		t.Errorf("with --yes: %v", err)
	}
}
