// Package principal knows who may sign requests: the principals of a credentials file, with their keys, tags and identity
// policies. Both planes ask it, the API port and the services. It checks no signature, and decides nothing about what
// a principal may do.
package principal

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/policy"
)

// Principal is somebody who may sign requests. It is immutable.
type Principal struct {
	Name         string
	Account      string
	ARN          string
	AccessKeyID  string
	SecretKey    string
	SessionToken string
	// RoleARN is the ARN of the role, for a role's session.
	RoleARN string
	// Issued and Expires are the beginning and the end of temporary credentials. Zero means that they do not expire.
	Issued, Expires time.Time
	// Tags are what policies see as aws:PrincipalTag/key.
	Tags map[string]string
	// OrgPath is where the account is in an organization, as in o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/. It is empty if the account
	// is in none.
	OrgPath string
	// Policies are the identity policies. Without any, the principal may do nothing.
	Policies policy.Set
	// Trust says who may assume a role. Other principals have none.
	Trust policy.Set

	// derive sets these fields from those above.
	id                     string
	issued                 string
	orgPaths               []string
	identity, identityTags []byte
}

// derive computes once what each request would otherwise compute again.
func (p *Principal) derive() {
	p.id = userID(p.ARN, p.Account)
	p.issued = p.tokenIssued()
	p.orgPaths = p.paths()
	p.identity, p.identityTags = p.latticeIdentity(), p.latticeIdentityTags()
}

// Caller returns the principal as policies see it.
func (p *Principal) Caller() policy.Caller {
	paths := p.orgPaths
	if paths == nil {
		paths = p.paths()
	}
	issued := p.issued
	if issued == "" {
		issued = p.tokenIssued()
	}
	return policy.Caller{
		ARN: p.ARN, Account: p.Account, RoleARN: p.RoleARN, UserID: p.UserID(), TokenIssued: issued, Tags: p.Tags, OrgID: p.orgID(), OrgPaths: paths,
	}
}

func (p *Principal) orgID() string {
	id, _, _ := strings.Cut(p.OrgPath, "/")
	return id
}

func (p *Principal) tokenIssued() string {
	if p.Issued.IsZero() {
		return ""
	}
	return p.Issued.UTC().Format(time.RFC3339)
}

func (p *Principal) paths() []string {
	if p.OrgPath == "" {
		return nil
	}
	return []string{p.OrgPath}
}

// String keeps the keys out of logs.
func (p Principal) String() string { return p.ARN }

// resource cuts the last part of an ARN, such as user/path/name, into its kind and the rest.
func resource(arn string) (kind, rest string) {
	parts := strings.SplitN(arn, ":", 6)
	kind, rest, _ = strings.Cut(parts[len(parts)-1], "/")
	return kind, rest
}

// UserID returns the unique id of a principal. AWS chooses one when a user or role is created; here it is derived from the
// ARN, so that it is the same on every node and after every start. A-112.
func (p *Principal) UserID() string {
	if p.id != "" {
		return p.id
	}
	return userID(p.ARN, p.Account)
}

func userID(arn, account string) string {
	kind, rest := resource(arn)
	switch kind {
	case "root":
		return account
	case "user":
		return "AIDA" + digest(arn)
	case "assumed-role":
		role, session, _ := strings.Cut(rest, "/")
		return "AROA" + digest(account+"/"+role) + ":" + session
	default:
		return "AROA" + digest(arn)
	}
}

// digest returns 17 capital letters and digits.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// The keys of a section: those of AWS's tools, and Trellis's own.
const (
	keyAccessKeyID  = "aws_access_key_id"
	keySecret       = "aws_secret_access_key"
	keySessionToken = "aws_session_token"
	keyAccount      = "trellis_account"
	keyARN          = "trellis_arn"
	keyTags         = "trellis_tags"
	keyOrgPath      = "trellis_org_path"
	keyPolicy       = "trellis_policy"
	keyPolicyFile   = "trellis_policy_file"
	keyTrust        = "trellis_trust_policy"
	keyTrustFile    = "trellis_trust_policy_file"
	ownKeyPrefix    = "trellis_"
)

// isOurs reports whether a key has a meaning here. Keys of other tools are ignored.
func isOurs(key string) bool {
	return key == keyAccessKeyID || key == keySecret || key == keySessionToken || strings.HasPrefix(key, ownKeyPrefix)
}

// parser reads the principals of a credentials file.
type parser struct {
	// path is the path of the file, and account the account of principals that do not name one.
	path, account string
	// modified is when each file that was read was changed last.
	modified map[string]time.Time
}

// principal reads a section. The error joins everything that is wrong with it.
func (p *parser) principal(s section) (Principal, error) {
	value := func(key string) string { return s.values[key] }
	principal := Principal{
		Name:         s.name,
		Account:      value(keyAccount),
		ARN:          value(keyARN),
		AccessKeyID:  value(keyAccessKeyID),
		SecretKey:    value(keySecret),
		SessionToken: value(keySessionToken),
	}
	var problems []error
	problem := func(err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("credentials file %s, section [%s]: %w", p.path, principal.Name, err))
		}
	}
	isRole := value(keyTrust) != "" || value(keyTrustFile) != ""
	kind := "user"
	if isRole {
		kind = "role"
		if principal.AccessKeyID+principal.SecretKey+principal.SessionToken != "" {
			problem(fmt.Errorf("a section with a trust policy is a role, which has no keys"))
		}
	} else if principal.AccessKeyID == "" || principal.SecretKey == "" {
		problem(fmt.Errorf("%s and %s are needed", keyAccessKeyID, keySecret))
	}
	if principal.Account == "" {
		principal.Account = p.account
	}
	if !lattice.ValidAccount(principal.Account) {
		problem(fmt.Errorf("%s must be 12 digits", keyAccount))
	}
	if principal.ARN == "" {
		principal.ARN = "arn:aws:iam::" + principal.Account + ":" + kind + "/" + principal.Name
	} else if parts := strings.SplitN(principal.ARN, ":", 6); len(parts) != 6 || parts[0] != "arn" || parts[4] != principal.Account || parts[5] == "" ||
		isRole && !isRoleARN(principal.ARN) {
		problem(fmt.Errorf("%s must be an ARN of the account %s, such as arn:aws:iam::%s:%s/name", keyARN, principal.Account, principal.Account, kind))
	}
	var err error
	principal.Tags, err = parseTags(value(keyTags))
	problem(err)
	if principal.OrgPath = value(keyOrgPath); principal.OrgPath != "" && !organizationPath.MatchString(principal.OrgPath) {
		problem(fmt.Errorf("%s must be a path from the organization to the account's unit, such as o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/", keyOrgPath))
	}
	principal.Policies, err = p.policies(s, keyPolicy, keyPolicyFile, policy.IdentityPolicyRequirements())
	problem(err)
	principal.Trust, err = p.policies(s, keyTrust, keyTrustFile, trustPolicyRequirements())
	problem(err)
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		if strings.HasPrefix(key, ownKeyPrefix) && !slices.Contains([]string{keyAccount, keyARN, keyTags, keyOrgPath, keyPolicy, keyPolicyFile, keyTrust, keyTrustFile}, key) {
			problem(fmt.Errorf("%s is not a known key", key))
		}
	}
	principal.derive()
	return principal, errors.Join(problems...)
}

// policies reads the policy in a section, and the one in the file that the section names.
func (p *parser) policies(s section, inlineKey, fileKey string, requirements policy.Requirements) (policy.Set, error) {
	var documents policy.Set
	var problems []error
	add := func(key, text string) {
		d, err := policy.Parse(text)
		if err == nil {
			err = d.Require(requirements)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
			return
		}
		documents = append(documents, d)
	}
	if inline := s.values[inlineKey]; inline != "" {
		add(inlineKey, inline)
	}
	if file := s.values[fileKey]; file != "" {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(p.path), file)
		}
		p.modified[file] = modTime(file)
		text, err := os.ReadFile(file)
		if err == nil {
			add(fileKey+" "+file, string(text))
		} else {
			problems = append(problems, fmt.Errorf("%s: %w", fileKey, err))
		}
	}
	return documents, errors.Join(problems...)
}

// trustPolicyRequirements are those of a role's trust policy: it says who may assume the role, and is about no other
// resource (IAM, Roles terms and concepts).
func trustPolicyRequirements() policy.Requirements {
	return policy.Requirements{Principal: true, ActionPrefixes: []string{"sts:"}, KeyPrefixes: []string{"aws:", "sts:"}}
}

// organizationPath is the form of aws:PrincipalOrgPaths: the ids of the organization, its root and the units below it, each
// followed by a slash (Organizations API reference, Organization, Root, OrganizationalUnit).
var organizationPath = regexp.MustCompile(`^o-[a-z0-9]{10,32}/r-[0-9a-z]{4,32}/(ou-[0-9a-z]{4,32}-[a-z0-9]{8,32}/)*$`)

// maxTags is how many tags a user or role may have (IAM).
const maxTags = 50

// parseTags reads team=blue,env=prod.
func parseTags(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	tags := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, found := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !found || key == "" {
			return nil, fmt.Errorf("%s must be of the form key=value,key=value", keyTags)
		}
		// IAM compares the keys of a principal's tags without regard to case.
		if slices.ContainsFunc(slices.Collect(maps.Keys(tags)), func(k string) bool { return strings.EqualFold(k, key) }) {
			return nil, fmt.Errorf("%s has the key %s twice", keyTags, key)
		}
		tags[key] = value
	}
	if len(tags) > maxTags {
		return nil, fmt.Errorf("%s has more than %d tags", keyTags, maxTags)
	}
	return tags, nil
}
