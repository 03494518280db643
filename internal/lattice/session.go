package lattice

import "time"

// MaxSessionDuration is the longest life of temporary credentials: that of GetSessionToken (STS API reference).
const MaxSessionDuration = 36 * time.Hour

// sessionRegion is the Region in the keys of sessions, which belong to no Region.
const sessionRegion = "global"

// Session is temporary credentials: of a role that a caller has assumed, or of a user. It holds a secret.
type Session struct {
	Account     string `json:"account"`
	AccessKeyID string `json:"accessKeyId"`
	SecretKey   string `json:"secretKey"`
	Token       string `json:"token"`
	// ARN is that of the role's session, or of the user.
	ARN string `json:"arn"`
	// RoleARN is the role that was assumed, if it is one.
	RoleARN string `json:"roleArn,omitempty"`
	// UserKeyID is the access key whose principal the credentials are of, if no role was assumed.
	UserKeyID string `json:"userKeyId,omitempty"`
	// Tags are those of the session.
	Tags    map[string]string `json:"tags,omitempty"`
	Issued  time.Time         `json:"issued,omitzero"`
	Expires time.Time         `json:"expires"`
}

// String keeps the secret out of logs.
func (s *Session) String() string { return "session " + s.AccessKeyID }

// Sessions is the index of an account's sessions.
func Sessions(account string) Index { return All(KindSession, Scope{account, sessionRegion}) }

func (s *Session) Key() Key {
	return Key{KindSession, Scope{s.Account, sessionRegion}, s.AccessKeyID}
}
func (s *Session) Indexes() []Index { return []Index{Sessions(s.Account)} }
func (s *Session) Claims() []Claim  { return nil }

// Retention implements Expiring.
func (s *Session) Retention() time.Duration { return MaxSessionDuration }
