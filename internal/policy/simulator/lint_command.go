package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"trellis/internal/policy"
)

// Lint is `trellis policy lint`.
type Lint struct {
	// Paths are files, and folders of files whose names end in .json. Those of cases have the policies of the cases.
	Paths []string
}

// Run runs the command and returns its exit code.
func (l Lint) Run(out, errs io.Writer) int {
	worst := exitAllowed
	found := 0
	for _, path := range l.Paths {
		err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || name != path && filepath.Ext(name) != ".json" {
				return err
			}
			policies, err := policiesIn(name)
			if err != nil {
				return err
			}
			for _, p := range policies {
				found++
				worst = max(worst, p.lint(out))
			}
			return nil
		})
		if err == nil && found == 0 {
			err = fmt.Errorf("%s: there is no policy", path)
		}
		if err != nil {
			fmt.Fprintf(errs, "trellis: %v\n", err)
			return exitUnusable
		}
	}
	return worst
}

// policyText is a policy and its place.
type policyText struct{ where, text string }

// policiesIn returns the policies in a file: the file itself, or those in its cases.
func policiesIn(name string) ([]policyText, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	cases, isCases, err := readFile(name)
	if !isCases {
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) == nil && members["Statement"] == nil && members["Version"] == nil {
			return nil, nil // a request, or a file of something else
		}
		return []policyText{{name, string(raw)}}, nil
	}
	var policies []policyText
	seen := map[string]bool{}
	for _, c := range cases {
		if c.text.Expect == "invalid" {
			continue // The file is not a policy.
		}
		for _, text := range []json.RawMessage{c.text.Policy, c.text.NetworkPolicy, c.text.IdentityPolicy} {
			if len(text) == 0 || text[0] != '{' || seen[string(text)] {
				continue // policies in files of their own are checked as those files
			}
			seen[string(text)] = true
			policies = append(policies, policyText{name + ": " + c.Name, string(text)})
		}
	}
	return policies, err
}

// lint prints the errors and warnings about a policy, and returns the exit code.
func (p policyText) lint(out io.Writer) int {
	d, err := policy.Parse(p.text)
	if err == nil {
		requirements := policy.IdentityPolicyRequirements()
		if d.NamesPrincipals() {
			requirements = policy.AuthPolicyRequirements()
		}
		err = d.Require(requirements)
	}
	if err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintf(out, "%s: error: %s\n", p.where, problem)
		}
		return exitUnusable
	}
	code := exitAllowed
	for _, w := range d.Lint() {
		code = exitDenied
		fmt.Fprintf(out, "%s: warning: %s\n", p.where, w)
	}
	return code
}
