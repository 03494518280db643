package identity

import (
	"net/http"
	"strings"
)

// credential is the Credential of a signature: who signed, and for which day, Region and service.
type credential struct {
	AccessKeyID, Date, Region, Service string
}

// requestCredential returns the credential that a request's signature names, in the Authorization header or, for
// a presigned request, in the query. It does not check the signature.
func requestCredential(r *http.Request) (credential, bool) {
	if authorization := r.Header.Get("Authorization"); authorization != "" {
		for _, part := range strings.FieldsFunc(authorization, func(c rune) bool { return c == ' ' || c == ',' }) {
			if value, ok := strings.CutPrefix(part, "Credential="); ok {
				return parseCredential(value)
			}
		}
		return credential{}, false
	}
	return parseCredential(r.URL.Query().Get("X-Amz-Credential"))
}

// RequestedService returns the name of the AWS service for which a request is signed, "" if it is not signed. It does not
// check the signature.
func RequestedService(r *http.Request) string {
	c, _ := requestCredential(r)
	return c.Service
}

// parseCredential parses "AKID/20260102/us-west-2/vpc-lattice/aws4_request". The key id may itself contain
// slashes, so the parts are counted from the end.
func parseCredential(s string) (credential, bool) {
	parts := strings.Split(s, "/")
	n := len(parts)
	if n < 5 || parts[n-1] != "aws4_request" {
		return credential{}, false
	}
	return credential{
		AccessKeyID: strings.Join(parts[:n-4], "/"),
		Date:        parts[n-4],
		Region:      parts[n-3],
		Service:     parts[n-2],
	}, true
}
