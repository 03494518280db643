// Package identity finds out who calls on the API port: it reads and checks the signatures of requests, and slows down
// callers whose signatures are wrong. Package principal knows the principals; package authorization decides what they may
// do.
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
	// Region is the Region of requests that do not name one.
	Region string
	// Principals has the principals with credentials from this node's STS, and knows the account of all other keys.
	Principals *principal.Directory
}

// maxAccessKeyID is the longest access key id (IAM, AccessKey).
const maxAccessKeyID = 128

// Authenticate implements api.Authenticator. It refuses only Regions that are not valid.
func (d Dev) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	caller := api.Caller{Region: d.Region}
	if c, ok := sigv4.NamedCredential(signedView(r)); ok {
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
