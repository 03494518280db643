package principal

import (
	"strings"
	"sync"
	"sync/atomic"

	"trellis/internal/lattice"
	"trellis/internal/policy"
)

// Directory knows all principals and roles: those of the credentials file, and the temporary credentials that are stored
// in the catalog, which are the same on all nodes. Look-ups take no lock.
type Directory struct {
	file *Credentials // nil if there is none.
	// anything is the policy of principals that the credentials file does not know. It is nil if only those in the file exist.
	anything policy.Set
	account  string   // the account of access keys that do not name one
	sessions sync.Map // the *session by access key id
}

// NewDirectory returns the directory of a credentials file.
func NewDirectory(file *Credentials) *Directory { return &Directory{file: file} }

// NewOpenDirectory returns a directory in which every role and every access key exists, and may do everything unless the
// credentials file, which may be nil, says otherwise. An access key that does not name an account belongs to the given one.
func NewOpenDirectory(account string, file *Credentials) (*Directory, error) {
	d, err := policy.Parse(administratorPolicy)
	if err != nil {
		return nil, err
	}
	return &Directory{file: file, anything: policy.Set{d}, account: account}, nil
}

// session is stored temporary credentials, and the principal that follows from them.
type session struct {
	*lattice.Session
	cached atomic.Pointer[cachedPrincipal]
}

// cachedPrincipal is a session's principal under a content of the credentials file.
type cachedPrincipal struct {
	content   *content
	principal *Principal // nil if the role or user no longer exists
}

// Apply applies changes of the catalog. The catalog calls it in order of revision, from one goroutine.
func (d *Directory) Apply(changes []lattice.Change) {
	for _, change := range changes {
		if s, ok := change.New.(*lattice.Session); ok {
			d.sessions.Store(s.AccessKeyID, &session{Session: s})
		} else if s, ok := change.Old.(*lattice.Session); ok {
			d.sessions.Delete(s.AccessKeyID)
		}
	}
}

// Principal returns the principal who has an access key, whether or not it has expired. It MUST NOT be changed.
func (d *Directory) Principal(accessKeyID string) (*Principal, bool) {
	var current *content
	if d.file != nil {
		current = d.file.current()
		if p, ok := current.principals[accessKeyID]; ok {
			return p, true
		}
	}
	found, ok := d.sessions.Load(accessKeyID)
	if !ok {
		return nil, false
	}
	s := found.(*session)
	c := s.cached.Load()
	if c == nil || c.content != current {
		c = &cachedPrincipal{current, d.principalOf(s.Session, current)}
		s.cached.Store(c)
	}
	return c.principal, c.principal != nil
}

// principalOf returns the principal of temporary credentials, with the permissions that the role or the user has now.
func (d *Directory) principalOf(s *lattice.Session, current *content) *Principal {
	p := &Principal{
		Name: s.ARN[strings.LastIndexByte(s.ARN, '/')+1:], Account: s.Account, ARN: s.ARN, RoleARN: s.RoleARN,
		AccessKeyID: s.AccessKeyID, SecretKey: s.SecretKey, SessionToken: s.Token, Issued: s.Issued, Expires: s.Expires,
		Tags: s.Tags, Policies: d.anything,
	}
	var of *Principal
	if current != nil && s.RoleARN != "" {
		of = current.roles[s.RoleARN]
	} else if current != nil {
		of = current.principals[s.UserKeyID]
	}
	switch {
	case of != nil:
		p.Policies, p.Tags, p.OrgPath = of.Policies, mergedTags(of.Tags, s.Tags), of.OrgPath
	case !d.Open():
		return nil
	}
	p.derive()
	return p
}

// mergedTags returns a role's tags with those of a session, which take precedence (IAM, Passing session tags). Keys that
// differ only in case are the same.
func mergedTags(role, session map[string]string) map[string]string {
	if len(session) == 0 {
		return role
	}
	merged := map[string]string{}
	for key, value := range session {
		merged[key] = value
	}
	for key, value := range role {
		if !hasTag(session, key) {
			merged[key] = value
		}
	}
	return merged
}

func hasTag(tags map[string]string, key string) bool {
	for k := range tags {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

// Role returns the role of an ARN.
func (d *Directory) Role(arn string) (*Principal, bool) {
	if d.file != nil {
		if role, ok := d.file.Role(arn); ok {
			return role, true
		}
	}
	if !d.Open() || !isRoleARN(arn) {
		return nil, false
	}
	return &Principal{ARN: arn, Account: accountOf(arn), Policies: d.anything}, true
}

// Open reports whether every role exists and everybody may assume it.
func (d *Directory) Open() bool { return d.anything != nil }

// Anybody returns the principal of an unknown access key in an open directory: the root of an account. An access key of 12
// digits is the account, so that a test can work in several accounts without any set-up.
func (d *Directory) Anybody(accessKeyID string) *Principal {
	account := d.account
	if lattice.ValidAccount(accessKeyID) {
		account = accessKeyID
	}
	return &Principal{ARN: "arn:aws:iam::" + account + ":root", Account: account, AccessKeyID: accessKeyID, Policies: d.anything}
}

// isRoleARN reports whether an ARN is that of a role.
func isRoleARN(arn string) bool {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::")
	if !ok {
		return false
	}
	account, name, _ := strings.Cut(rest, ":role/")
	return lattice.ValidAccount(account) && name != "" && !strings.HasSuffix(name, "/") && strings.Trim(name, roleCharacters) == ""
}

// roleCharacters are those of the paths and names of roles (IAM, IAM and AWS STS quotas).
const roleCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+=,.@_-/"

func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	return parts[4]
}
