package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"trellis/internal/policy"
)

// group is the content of a file of cases: policies and a request that its cases share, and the cases.
type group struct {
	Description string `json:"description"`
	texts
	Request map[string]json.RawMessage `json:"request"`
	Cases   []caseText                 `json:"cases"`
}

// caseText is one case. Its policies replace those of its group, and the members of its request those of the group's.
type caseText struct {
	Name string `json:"name"`
	texts
	Request map[string]json.RawMessage `json:"request"`
	// Expect is allow, deny or invalid; invalid means that the policy is refused.
	Expect string `json:"expect"`
	// Reason is a part of the explanation, or of the error. Body is what the client would get with status 403.
	Reason string `json:"reason"`
	Body   string `json:"body"`
}

// Case is a case that was read from a file.
type Case struct {
	// File is the name of its file, and Name the case's own name.
	File, Name string
	text       caseText
	folder     string
}

// readCases reads the cases of a file, or of all files in a folder whose names end in .json and that hold cases.
func readCases(path string) ([]Case, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		cases, isCases, err := readFile(path)
		if err == nil && !isCases {
			err = fmt.Errorf("%s: it has no cases", path)
		}
		return cases, err
	}
	var cases []Case
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(name) != ".json" {
			return err
		}
		more, _, err := readFile(name)
		cases = append(cases, more...)
		return err
	})
	if err == nil && len(cases) == 0 {
		err = fmt.Errorf("%s: no file in it has cases", path)
	}
	return cases, err
}

// readFile reads the cases of a file: a group or a list of groups. Files of policies or requests, which may be in the same
// folder, have none.
func readFile(name string) (cases []Case, isCases bool, err error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, false, err
	}
	var groups []group
	if trimmed := bytes.TrimSpace(raw); len(trimmed) > 0 && trimmed[0] == '[' {
		err = decode(raw, &groups)
	} else {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
		if members["cases"] == nil {
			return nil, false, nil
		}
		groups = make([]group, 1)
		err = decode(raw, &groups[0])
	}
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	for _, g := range groups {
		for i, text := range g.Cases {
			c := Case{File: name, Name: text.Name, text: text, folder: filepath.Dir(name)}
			if c.Name == "" {
				c.Name = fmt.Sprintf("case %d", i+1)
			}
			if g.Description != "" {
				c.Name = g.Description + ": " + c.Name
			}
			c.text.inherit(g)
			cases = append(cases, c)
		}
	}
	return cases, true, nil
}

func decode(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// inherit copies what a case lacks from its group.
func (c *caseText) inherit(g group) {
	for _, pair := range [][2]*json.RawMessage{
		{&c.Policy, &g.Policy}, {&c.NetworkPolicy, &g.NetworkPolicy}, {&c.IdentityPolicy, &g.IdentityPolicy},
	} {
		if *pair[0] == nil {
			*pair[0] = *pair[1]
		}
	}
	request := maps.Clone(g.Request)
	if request == nil {
		request = map[string]json.RawMessage{}
	}
	for name, value := range c.Request {
		if request[name] = value; string(value) == "null" {
			delete(request, name)
		}
	}
	c.Request = request
}

// Run runs a case. The error says what differs from the expectation, or what is wrong with the case.
func (c Case) Run() error {
	if !slices.Contains([]string{"allow", "deny", "invalid"}, c.text.Expect) {
		return fmt.Errorf("expect is %q; it must be allow, deny or invalid", c.text.Expect)
	}
	access, err := c.text.access(c.folder)
	if c.text.Expect == "invalid" {
		return c.refused(err)
	}
	if err != nil {
		return err
	}
	raw, err := json.Marshal(c.text.Request)
	if err != nil {
		return err
	}
	r, err := parseRequest(raw)
	if err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return err
	}
	question := r.question(r.Principal.only(), r.Method.only(), r.Path.only())
	verdict, explanation := access.Decide(question), access.Explain(question)
	if verdict.Allowed() != (c.text.Expect == "allow") {
		return fmt.Errorf("want %s, got %s: %s", c.text.Expect, verdict.Outcome, explanation.Reason)
	}
	if !strings.Contains(explanation.Reason, c.text.Reason) {
		return fmt.Errorf("want a reason with %q, got %q", c.text.Reason, explanation.Reason)
	}
	if c.text.Body == "" {
		return nil
	}
	if body := policy.RefusalBody(question, verdict); verdict.Allowed() || body != c.text.Body {
		return fmt.Errorf("want the body %q, got %q", c.text.Body, body)
	}
	return nil
}

// refused compares the error of a policy with what a case expects.
func (c Case) refused(err error) error {
	invalid, ok := errors.AsType[*InvalidError](err)
	switch {
	case err == nil:
		return errors.New("want a policy that is refused, but it is valid")
	case !ok:
		return err
	case !strings.Contains(invalid.Error(), c.text.Reason):
		return fmt.Errorf("want an error with %q, got %q", c.text.Reason, invalid.Error())
	}
	return nil
}

// complete returns an error if a case leaves a part of the request open.
func (r *request) complete() error {
	for _, part := range r.open() {
		return fmt.Errorf("the request: %s must be one text", part)
	}
	return nil
}

// open names the parts of a request that are left out or that are several.
func (r *request) open() []string {
	var open []string
	if len(r.Principal) != 1 {
		open = append(open, "principal")
	}
	if r.Action == "Connect" {
		return open
	}
	if len(r.Method) != 1 {
		open = append(open, "method")
	}
	if len(r.Path) != 1 {
		open = append(open, "path")
	}
	return open
}

// only returns the text if there is one.
func (m oneOrMany) only() string {
	if len(m) == 1 {
		return m[0]
	}
	return ""
}
