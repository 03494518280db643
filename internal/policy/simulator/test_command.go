package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"trellis/internal/policy"
)

// The exit codes of the commands, for CI.
const (
	// exitAllowed: the request is allowed, all cases are as expected, or the policies have no warnings.
	exitAllowed = 0
	// exitDenied is for the opposites.
	exitDenied = 1
	// exitUnusable: a file cannot be read, or PutAuthPolicy would refuse a policy.
	exitUnusable = 2
)

// Test is `trellis policy test`.
type Test struct {
	// Policy, NetworkPolicy, IdentityPolicy and Request are names of files. Policy is the service's.
	Policy, NetworkPolicy, IdentityPolicy, Request string
	// JSON says to print the whole explanation.
	JSON bool
	// Cases are files and folders of cases, which are run instead.
	Cases []string
}

// Run runs the command and returns its exit code.
func (t Test) Run(out, errs io.Writer) int {
	var code int
	var err error
	if len(t.Cases) > 0 {
		code, err = t.runCases(out)
	} else {
		code, err = t.runRequest(out)
	}
	if err != nil {
		fmt.Fprintf(errs, "trellis: %v\n", err)
		return exitUnusable
	}
	return code
}

func (t Test) runCases(out io.Writer) (int, error) {
	if t.Policy != "" || t.NetworkPolicy != "" || t.IdentityPolicy != "" || t.Request != "" {
		return 0, errors.New("cases name their policies and requests themselves: give either files of cases or --policy and --request")
	}
	var cases []Case
	for _, path := range t.Cases {
		more, err := readCases(path)
		if err != nil {
			return 0, err
		}
		cases = append(cases, more...)
	}
	failed := 0
	for _, c := range cases {
		if err := c.Run(); err != nil {
			failed++
			fmt.Fprintf(out, "FAIL  %s: %s\n      %v\n", c.File, c.Name, err)
		}
	}
	fmt.Fprintf(out, "%d of %d cases as expected\n", len(cases)-failed, len(cases))
	if failed > 0 {
		return exitDenied, nil
	}
	return exitAllowed, nil
}

func (t Test) runRequest(out io.Writer) (int, error) {
	if t.Request == "" {
		return 0, errors.New("--request is missing: a file with the request, or name files of cases")
	}
	access, err := t.access()
	if err != nil {
		return 0, err
	}
	raw, err := os.ReadFile(t.Request)
	if err != nil {
		return 0, err
	}
	r, err := parseRequest(raw)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.Request, err)
	}
	switch open := r.open(); len(open) {
	case 0:
		return t.answer(out, access, r.question(r.Principal.only(), r.Method.only(), r.Path.only()))
	case 1:
		return exitAllowed, r.list(out, access, open[0])
	default:
		return 0, fmt.Errorf("%s: only one of principal, method and path can be left open, not %s and %s", t.Request, open[0], open[1])
	}
}

// access reads the policies.
func (t Test) access() (*policy.Access, error) {
	name := func(file string) json.RawMessage {
		if file == "" {
			return nil
		}
		raw, _ := json.Marshal(file) // Texts can always be written as JSON.
		return raw
	}
	return texts{name(t.Policy), name(t.NetworkPolicy), name(t.IdentityPolicy)}.access("")
}

// answer prints the verdict about one request.
func (t Test) answer(out io.Writer, access *policy.Access, question *policy.Request) (int, error) {
	verdict, explanation := access.Decide(question), access.Explain(question)
	code := exitDenied
	if verdict.Allowed() {
		code = exitAllowed
	}
	if t.JSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return code, encoder.Encode(explanation)
	}
	fmt.Fprintf(out, "%s\n%s\n", word(verdict), explanation.Reason)
	if !verdict.Allowed() {
		fmt.Fprintln(out, policy.RefusalBody(question, verdict))
	}
	return code, nil
}

func word(v policy.Verdict) string {
	if v.Allowed() {
		return "allow"
	}
	return "deny"
}

// list prints who or what would be allowed. It tries each value that is given for the open part of the request, or else each
// that the policies name.
func (r *request) list(out io.Writer, access *policy.Access, open string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, candidate := range r.candidates(access, open) {
		principal, method, path := r.Principal.only(), r.Method.only(), r.Path.only()
		switch open {
		case "principal":
			principal = candidate
		case "method":
			method = candidate
		default:
			path = candidate
		}
		question := r.question(principal, method, path)
		verdict := access.Decide(question)
		// The reason of each statement is shown only for a single request.
		reason, _, _ := strings.Cut(access.Explain(question).Reason, ": ")
		fmt.Fprintf(table, "%s\t%s\t%s\n", word(verdict), cmp.Or(candidate, anonymous), reason)
	}
	return table.Flush()
}

// candidates returns the values to try for the open part of a request.
func (r *request) candidates(access *policy.Access, open string) []string {
	switch open {
	case "principal":
		if len(r.Principal) > 0 {
			return r.Principal
		}
		return append([]string{anonymous}, access.Principals()...)
	case "method":
		if len(r.Method) > 0 {
			return r.Method
		}
		return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	default:
		if len(r.Path) > 0 {
			return r.Path
		}
		return access.Paths()
	}
}
