package identity

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gopkg.in/ini.v1"
)

// Principal is somebody who may sign requests.
type Principal struct {
	Name         string
	Account      string
	ARN          string
	AccessKeyID  string
	SecretKey    string
	SessionToken string
}

// String keeps the keys out of logs.
func (p Principal) String() string { return p.ARN }

// Credentials are the principals of a credentials file, which is in AWS's shared-credentials format so that
// clients can use it as it is: each section is a principal, with aws_access_key_id, aws_secret_access_key and,
// optionally, aws_session_token. Keys that AWS's tools pass over say the rest: trellis_account (12 digits) and
// trellis_arn. The file is read again when it has changed.
type Credentials struct {
	path    string
	account string

	mu          sync.Mutex // mu guards the fields below.
	principals  map[string]Principal
	modified    time.Time
	nextLook    time.Time
	lastProblem error
}

// lookInterval is how often the file is looked at for changes.
const lookInterval = time.Second

// OpenCredentials reads a credentials file, or creates it with one administrator of the account.
func OpenCredentials(path, account string) (*Credentials, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createCredentials(path, account); err != nil {
			return nil, fmt.Errorf("creating the credentials file: %w", err)
		}
	}
	c := &Credentials{path: path, account: account}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// Problem returns why the file as it stands now could not be taken over, or nil. What was read before stays in force.
func (c *Credentials) Problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastProblem
}

func (c *Credentials) principal(accessKeyID string) (Principal, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.After(c.nextLook) {
		c.nextLook = now.Add(lookInterval)
		if info, err := os.Stat(c.path); err == nil && !info.ModTime().Equal(c.modified) {
			c.lastProblem = c.read()
		}
	}
	p, ok := c.principals[accessKeyID]
	return p, ok
}

// read replaces the principals by those of the file. The caller holds mu.
func (c *Credentials) read() error {
	info, err := os.Stat(c.path)
	if err != nil {
		return fmt.Errorf("reading the credentials: %w", err)
	}
	c.modified = info.ModTime()
	file, err := ini.LoadSources(ini.LoadOptions{IgnoreInlineComment: true}, c.path)
	if err != nil {
		return fmt.Errorf("reading the credentials file %s: %w", c.path, err)
	}
	principals := map[string]Principal{}
	var problems []error
	for _, section := range file.Sections() {
		if section.Name() == ini.DefaultSection && len(section.Keys()) == 0 {
			continue
		}
		p := Principal{
			Name:         section.Name(),
			Account:      section.Key("trellis_account").MustString(c.account),
			AccessKeyID:  section.Key("aws_access_key_id").String(),
			SecretKey:    section.Key("aws_secret_access_key").String(),
			SessionToken: section.Key("aws_session_token").String(),
		}
		p.ARN = section.Key("trellis_arn").MustString("arn:aws:iam::" + p.Account + ":user/" + p.Name)
		problem := func(text string) {
			problems = append(problems, fmt.Errorf("credentials file %s, section [%s]: %s", c.path, p.Name, text))
		}
		if p.AccessKeyID == "" || p.SecretKey == "" {
			problem("aws_access_key_id and aws_secret_access_key are needed")
		}
		if !isAccount(p.Account) {
			problem("trellis_account must be 12 digits")
		}
		if _, twice := principals[p.AccessKeyID]; twice {
			problem("another section has the same aws_access_key_id")
		}
		principals[p.AccessKeyID] = p
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	c.principals = principals
	return nil
}

// createCredentials writes a file with one administrator under fresh keys, readable by its owner alone.
func createCredentials(path, account string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var id [10]byte
	var secret [30]byte
	rand.Read(id[:])
	rand.Read(secret[:])
	text := fmt.Sprintf("# Principals that may call the API. Clients use this file as AWS_SHARED_CREDENTIALS_FILE.\n"+
		"[default]\naws_access_key_id = AKIA%s\naws_secret_access_key = %s\ntrellis_account = %s\ntrellis_arn = arn:aws:iam::%s:user/administrator\n",
		base32.StdEncoding.EncodeToString(id[:]), base64.StdEncoding.EncodeToString(secret[:]), account, account)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}
