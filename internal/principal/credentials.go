package principal

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Credentials are the principals of a credentials file, which is in AWS's shared-credentials format so that clients can use
// the same file: each section is a principal, with aws_access_key_id, aws_secret_access_key and, optionally,
// aws_session_token. Keys that AWS's tools ignore have the rest: trellis_account (12 digits), trellis_arn, trellis_tags, and
// the identity policies, trellis_policy and trellis_policy_file. A section with a trust policy, trellis_trust_policy or
// trellis_trust_policy_file, is a role, which has no keys. The file, and those of policies, are read again when they have
// changed.
type Credentials struct {
	path    string
	account string
	log     *slog.Logger

	// content is replaced as a whole, since services ask for each signed request.
	content atomic.Pointer[content]
	// nextLook is when the files are checked for changes again, in nanoseconds of Unix time.
	nextLook atomic.Int64

	mu sync.Mutex // mu guards the fields below.
	// modified has the modification time of each file that was read.
	modified    map[string]time.Time
	lastProblem error
}

// content is the contents of a credentials file.
type content struct {
	principals map[string]*Principal // principals by access key id
	roles      map[string]*Principal // roles by ARN
}

// lookInterval is how often the files are checked for changes.
const lookInterval = time.Second

// OpenCredentials reads a credentials file, or creates it with one administrator of the account. It logs when the file has
// been read again, or could not be.
func OpenCredentials(path, account string, log *slog.Logger) (*Credentials, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createCredentials(path, account); err != nil {
			return nil, fmt.Errorf("creating the credentials file: %w", err)
		}
	}
	c := &Credentials{path: path, account: account, log: log}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others than its owner can read the credentials file", "file", path, "mode", info.Mode().Perm().String())
	}
	return c, nil
}

// Problem returns why the current contents of the file could not be used, or nil. What was read before stays in force.
func (c *Credentials) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastProblem
}

// Principal returns the principal who has an access key. It MUST NOT be changed.
func (c *Credentials) Principal(accessKeyID string) (*Principal, bool) {
	p, ok := c.current().principals[accessKeyID]
	return p, ok
}

// Role returns the role of an ARN. It MUST NOT be changed.
func (c *Credentials) Role(arn string) (*Principal, bool) {
	p, ok := c.current().roles[arn]
	return p, ok
}

// current returns the contents of the file, after checking for changes if that is due.
func (c *Credentials) current() *content {
	now, due := time.Now().UnixNano(), c.nextLook.Load()
	if now >= due && c.nextLook.CompareAndSwap(due, now+int64(lookInterval)) {
		c.mu.Lock()
		c.look()
		c.mu.Unlock()
	}
	return c.content.Load()
}

// Reload reads the file again, whether or not it seems to have changed. On an error, which is logged too, what was read
// before stays in force.
func (c *Credentials) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload()
	return c.lastProblem
}

// look reads the file again if it, or the file of a policy, has changed. The caller holds mu.
func (c *Credentials) look() {
	for file, at := range c.modified {
		if !modTime(file).Equal(at) {
			c.reload()
			return
		}
	}
}

// reload reads the file again. The caller holds mu.
func (c *Credentials) reload() {
	if c.lastProblem = c.read(); c.lastProblem != nil {
		c.log.Error("the credentials file cannot be read again; what was read before stays in force", "error", c.lastProblem)
		return
	}
	c.log.Info("the credentials file has been read again", "file", c.path, "principals", len(c.content.Load().principals))
}

// read replaces the principals by those of the file. The caller holds mu.
func (c *Credentials) read() error {
	p := &parser{path: c.path, account: c.account, modified: map[string]time.Time{}}
	read, err := p.content()
	c.modified = p.modified
	if err != nil {
		return err
	}
	c.content.Store(read)
	return nil
}

// modTime returns the modification time of a file, or zero if it is not known.
func modTime(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// content reads all sections.
func (p *parser) content() (*content, error) {
	// The time is taken before the file is read, so that the next look sees a change in between.
	p.modified[p.path] = modTime(p.path)
	text, err := os.ReadFile(p.path)
	if err != nil {
		return nil, fmt.Errorf("reading the credentials file: %w", err)
	}
	sections, err := parseSections(p.path, string(text))
	if err != nil {
		return nil, err // Other errors may follow from this one.
	}
	c := &content{principals: map[string]*Principal{}, roles: map[string]*Principal{}}
	var problems []error
	for _, section := range sections {
		principal, err := p.principal(section)
		if err != nil {
			problems = append(problems, err)
		}
		entries, key, value := c.principals, keyAccessKeyID, principal.AccessKeyID
		if len(principal.Trust) > 0 {
			entries, key, value = c.roles, keyARN, principal.ARN
		}
		if _, twice := entries[value]; twice {
			problems = append(problems, fmt.Errorf("credentials file %s, section [%s]: another section has the same %s", p.path, principal.Name, key))
		}
		entries[value] = &principal
	}
	return c, errors.Join(problems...)
}

// administratorPolicy lets the administrator of the first start do everything.
const administratorPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// createCredentials writes a file with one administrator with new keys, readable by its owner alone.
func createCredentials(path, account string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var id [10]byte
	var secret [30]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	text := fmt.Sprintf("# Principals that may call the API. Clients use this file as AWS_SHARED_CREDENTIALS_FILE.\n"+
		"[default]\n%s = AKIA%s\n%s = %s\n%s = %s\n%s = arn:aws:iam::%s:user/administrator\n%s = %s\n",
		keyAccessKeyID, base32.StdEncoding.EncodeToString(id[:]), keySecret, base64.StdEncoding.EncodeToString(secret[:]),
		keyAccount, account, keyARN, account, keyPolicy, administratorPolicy)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}
