package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"trellis/internal/policy"
)

// everything is the identity policy of callers for whom none is given: the test is then about the policies of the service
// and of the network.
const everything = `{"Version":"2012-10-17","Statement":{"Sid":"assumed","Effect":"Allow","Action":"*","Resource":"*"}}`

// InvalidError is a policy that PutAuthPolicy would refuse.
type InvalidError struct {
	// Which is the member or the file.
	Which    string
	Problems error
}

func (e *InvalidError) Error() string {
	return e.Which + ": " + strings.ReplaceAll(e.Problems.Error(), "\n", "; ")
}
func (e *InvalidError) Unwrap() error { return e.Problems }

// texts are the policies of a case. Each is empty, null where AWS_IAM has no policy, an object, or the name of a file.
type texts struct {
	Policy         json.RawMessage `json:"policy"`
	NetworkPolicy  json.RawMessage `json:"networkPolicy"`
	IdentityPolicy json.RawMessage `json:"identityPolicy"`
}

// access compiles the policies. Names of files are relative to a folder.
func (t texts) access(folder string) (*policy.Access, error) {
	var a policy.Access
	var errs []error
	guard := func(raw json.RawMessage, which string) policy.Guard {
		d, err := compile(raw, folder, which, policy.AuthPolicyRequirements())
		errs = append(errs, err)
		return policy.Guard{On: raw != nil, Policy: d}
	}
	a.Service, a.Network = guard(t.Policy, "policy"), guard(t.NetworkPolicy, "networkPolicy")
	identity := t.IdentityPolicy
	if identity == nil {
		identity = json.RawMessage(everything)
	}
	d, err := compile(identity, folder, "identityPolicy", policy.IdentityPolicyRequirements())
	errs = append(errs, err)
	if d != nil {
		a.Identity = policy.Set{d}
	}
	if !a.Needed() {
		errs = append(errs, errors.New("there is neither a policy nor a networkPolicy, so everything would be allowed"))
	}
	return &a, errors.Join(errs...)
}

// compile reads a policy that is an object or the name of a file.
func compile(raw json.RawMessage, folder, which string, requirements policy.Requirements) (*policy.Document, error) {
	text := string(raw)
	var name string
	switch {
	case raw == nil || bytes.Equal(bytes.TrimSpace(raw), []byte("null")):
		return nil, nil
	case json.Unmarshal(raw, &name) == nil:
		if !filepath.IsAbs(name) {
			name = filepath.Join(folder, name)
		}
		read, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", which, err)
		}
		which, text = name, string(read)
	}
	d, err := policy.Parse(text)
	if err == nil {
		err = d.Require(requirements)
	}
	if err != nil {
		return nil, &InvalidError{which, err}
	}
	return d, nil
}
