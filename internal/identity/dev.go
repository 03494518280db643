// Package identity tells who calls on the API port: it reads and checks the signatures of requests, and slows down who
// signs wrongly. Who there is, it knows from package principal; what a principal may do is decided by package
// authorization.
package identity

import (
	"net/http"

	"trellis/internal/api"
	"trellis/internal/lattice"
	"trellis/internal/sigv4"
)

// Dev accepts any credentials, or none. The Region is the one in the signature's scope, and an access key id of 12
// digits is the account, so that a test can work in several accounts and Regions without any set-up.
type Dev struct {
	// Account and Region are those of a request that does not say.
	Account, Region string
}

// maxAccessKeyID is how long an access key id can be (IAM, AccessKey).
const maxAccessKeyID = 128

// Authenticate implements api.Authenticator. What it refuses is a Region that is none.
func (d Dev) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	caller := api.Caller{Account: d.Account, Region: d.Region}
	if c, ok := sigv4.ClaimedCredential(signedView(r)); ok {
		if c.Region != "" {
			if err := checkRegion(c.Region, nil); err != nil {
				return api.Caller{}, err
			}
			caller.Region = c.Region
		}
		if lattice.ValidAccount(c.AccessKeyID) {
			caller.Account = c.AccessKeyID
		}
		if len(c.AccessKeyID) <= maxAccessKeyID {
			caller.AccessKeyID = c.AccessKeyID
		}
	}
	caller.Principal = "arn:aws:iam::" + caller.Account + ":root"
	caller.UserID = caller.Account
	return caller, nil
}
