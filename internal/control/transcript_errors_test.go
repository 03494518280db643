package control

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trellis/internal/api/bounds"
)

// neverAnswered says why no transcript shows an error that the model lists for an operation: it cannot occur here.
// TestTranscriptsShowEveryErrorOfEveryOperation makes sure that all other errors are shown.
var neverAnswered = map[string]map[string]string{
	"CreateResourceGateway": {
		"ResourceNotFoundException": "only EC2 knows whether the VPC, the subnets and the security groups exist (A-237)",
	},
	"CreateService": {
		"ResourceNotFoundException": "it names only a certificate, and the local authority's is served for an unknown one (A-301)",
	},
	"CreateServiceNetwork": {
		"ResourceNotFoundException": "it names no other resource",
	},
	"CreateTargetGroup": {
		"ResourceNotFoundException": "it names only a VPC, and only EC2 knows whether that exists (A-020)",
	},
	"DeleteListener": {
		"ConflictException": "a listener has no status, and only its rules refer to it, which are deleted with it, whatever the state of its service (A-053)",
	},
	"DeleteRule": {
		"ConflictException": "a rule has no status and nothing refers to it, whatever the state of its service (A-053)",
	},
	"ListDomainVerifications": {
		"ResourceNotFoundException": "it names no resource",
	},
	"UpdateResourceConfiguration": {
		"ServiceQuotaExceededException": "nothing that it changes is counted by a quota",
	},
	"UpdateService": {
		"ServiceQuotaExceededException": "nothing that it changes is counted by a quota",
	},
	"UpdateServiceNetwork": {
		"ConflictException": "a service network has no status, and nothing that it changes must be unique",
	},
	"UpdateTargetGroup": {
		"ServiceQuotaExceededException": "nothing that it changes is counted by a quota",
	},
}

// alsoAnswered are errors of operations for which the model does not list them, but which AWS was seen to return.
var alsoAnswered = map[string][]string{
	"ListAccessLogSubscriptions": {"ResourceNotFoundException"}, // sam-goodwin/itty-aws, patches/vpc-lattice.json
}

// success stands for a response without an error.
const success = "success"

// What a transcript shows is what happens: TestTranscripts runs them all.
func TestTranscriptsShowEveryErrorOfEveryOperation(t *testing.T) {
	shown := answersInTranscripts(t)
	for _, op := range bounds.Operations() {
		for _, answer := range append([]string{success}, op.Errors...) {
			reason, isNever := neverAnswered[op.Name][answer]
			switch isShown := shown[op.Name][answer]; {
			case isShown && isNever:
				t.Errorf("%s returned %s, which neverAnswered excludes: %s", op.Name, answer, reason)
			case !isShown && !isNever:
				t.Errorf("no transcript shows that %s returns %s, and neverAnswered has no reason", op.Name, answer)
			}
		}
		// Access can be denied to whatever there is, and so can be another call.
		known := append([]string{success, "AccessDeniedException", "ThrottlingException"}, op.Errors...)
		known = append(known, alsoAnswered[op.Name]...)
		for _, answer := range slices.Sorted(maps.Keys(shown[op.Name])) {
			if !slices.Contains(known, answer) {
				t.Errorf("%s returned %s, which the model does not list for it", op.Name, answer)
			}
		}
	}
}

func TestReasonsForMissingErrorsAreAboutErrorsOfTheModel(t *testing.T) {
	errors := map[string][]string{}
	for _, op := range bounds.Operations() {
		errors[op.Name] = op.Errors
	}
	for operation, reasons := range neverAnswered {
		for name := range reasons {
			if !slices.Contains(errors[operation], name) {
				t.Errorf("the model has no %s of %s", name, operation)
			}
		}
	}
}

// answersInTranscripts returns, by operation, the errors that it answers with somewhere, and success.
func answersInTranscripts(t *testing.T) map[string]map[string]bool {
	t.Helper()
	shown := map[string]map[string]bool{}
	for _, op := range bounds.Operations() {
		shown[op.Name] = map[string]bool{}
	}
	for _, a := range transcribedAnswers(t) {
		shown[a.operation][a.outcome] = true
	}
	return shown
}

// transcribedAnswer is a response as a transcript shows it.
type transcribedAnswer struct {
	operation string
	// outcome is the name of an error, or success.
	outcome string
	body    string
}

func transcribedAnswers(t *testing.T) (answers []transcribedAnswer) {
	t.Helper()
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for step := range strings.SplitSeq(string(text), "\n\n") {
			request, answer, ok := strings.Cut(step, "\n----\n")
			if !ok {
				continue // Preparation, or nothing but comments and directives.
			}
			op, found := requestedOperation(request)
			if !found {
				t.Fatalf("%s: what is the operation of\n%s", file, request)
			}
			line, body, _ := strings.Cut(answer, "\n")
			status, outcome, _ := strings.Cut(line, " ")
			if outcome == "" && status == strconv.Itoa(op.Status) {
				outcome = success
			}
			answers = append(answers, transcribedAnswer{op.Name, outcome, body})
		}
	}
	return answers
}

// requestedOperation returns the operation that the last request in some lines of a transcript is about.
func requestedOperation(lines string) (op bounds.Operation, found bool) {
	for line := range strings.SplitSeq(lines, "\n") {
		method, path, _ := strings.Cut(line, " ")
		path, _, _ = strings.Cut(path, "?")
		for _, candidate := range bounds.Operations() {
			if candidate.Method == method && isPathOf(candidate, path) {
				op, found = candidate, true
			}
		}
	}
	return op, found
}

// isPathOf reports whether a path is one of an operation's.
func isPathOf(op bounds.Operation, path string) bool {
	want, got := strings.Split(op.URI, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if isLabel := strings.HasPrefix(want[i], "{"); !isLabel && want[i] != got[i] {
			return false
		}
	}
	return true
}
