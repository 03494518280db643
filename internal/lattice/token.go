package lattice

import (
	"encoding/json"
	"time"
)

// TokenRetention is how long a client token is remembered. AWS does not say.
const TokenRetention = 24 * time.Hour

// Token remembers the response to a create operation, so that a retry with the same client token gets it again.
type Token struct {
	Scope     Scope  `json:"scope"`
	Operation string `json:"operation"`
	Token     string `json:"token"`
	// ParametersHash is a digest of the operation's input without the token.
	ParametersHash string          `json:"parametersHash"`
	Answer         json.RawMessage `json:"answer"`
}

// TokenKey returns the key of a client token.
func TokenKey(scope Scope, operation, token string) Key {
	return Key{KindToken, scope, operation + "/" + token}
}

func (t *Token) Key() Key         { return TokenKey(t.Scope, t.Operation, t.Token) }
func (t *Token) Indexes() []Index { return nil }
func (t *Token) Claims() []Claim  { return nil }

// Retention implements Expiring.
func (t *Token) Retention() time.Duration { return TokenRetention }
