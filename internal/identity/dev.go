// Package identity tells who makes a request: it reads and checks SigV4 signatures, and knows the credentials
// and the principals behind them, with their tags and policies. What a principal may do is decided by package
// authorization.
package identity

import (
	"net/http"

	"trellis/internal/api"
)

// Dev accepts any credentials, or none. The Region is the one in the signature's scope, and an access key id of 12
// digits is the account, so that a test can work in several accounts and Regions without any set-up.
type Dev struct {
	// Account and Region are those of a request that does not say.
	Account, Region string
}

// Authenticate implements api.Authenticator. It never refuses.
func (d Dev) Authenticate(r *http.Request, _ []byte) (api.Caller, error) {
	caller := api.Caller{Account: d.Account, Region: d.Region}
	if c, ok := requestCredential(r); ok {
		if c.Region != "" {
			caller.Region = c.Region
		}
		if isAccount(c.AccessKeyID) {
			caller.Account = c.AccessKeyID
		}
		caller.AccessKeyID = c.AccessKeyID
	}
	caller.Principal = "arn:aws:iam::" + caller.Account + ":root"
	caller.UserID = caller.Account
	return caller, nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
