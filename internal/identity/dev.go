// Package identity tells who calls on the API port: it reads and checks the signatures of requests, and slows down who
// signs wrongly. Who there is, it knows from package principal; what a principal may do is decided by package
// authorization.
package identity

import (
	"net/http"

	"trellis/internal/api"
	"trellis/internal/principal"
	"trellis/internal/sigv4"
)

// Dev accepts any credentials, or none, and checks no signature. The Region is the one in the signature's scope, so that a
// test can work in several accounts and Regions without any set-up.
type Dev struct {
	// Region is that of a request that does not say.
	Region string
	// Principals has whoever got credentials from STS here, and knows whose all other keys are.
	Principals *principal.Directory
}

// maxAccessKeyID is how long an access key id can be (IAM, AccessKey).
const maxAccessKeyID = 128

// Authenticate implements api.Authenticator. What it refuses is a Region that is none.
func (d Dev) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	caller := api.Caller{Region: d.Region}
	if c, ok := sigv4.ClaimedCredential(signedView(r)); ok {
		if c.Region != "" {
			if err := checkRegion(c.Region, nil); err != nil {
				return api.Caller{}, err
			}
			caller.Region = c.Region
		}
		if len(c.AccessKeyID) <= maxAccessKeyID {
			caller.AccessKeyID = c.AccessKeyID
		}
	}
	who, ok := d.Principals.Principal(caller.AccessKeyID)
	if !ok {
		who = d.Principals.Anybody(caller.AccessKeyID)
	}
	caller.Account, caller.Principal, caller.UserID = who.Account, who.ARN, who.UserID()
	return caller, nil
}
