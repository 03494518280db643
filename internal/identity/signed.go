package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/excerpt"
	"trellis/internal/lattice"
	"trellis/internal/principal"
	"trellis/internal/sigv4"
)

// The codes with which AWS refuses requests that it cannot authenticate (common errors of the API reference).
const (
	codeMissingToken = "MissingAuthenticationToken"
	codeIncomplete   = "IncompleteSignature"
	codeUnknownKey   = "InvalidClientTokenId"
	codeExpired      = "RequestExpired"
	codeExpiredToken = "ExpiredToken"
	codeMismatch     = "SignatureDoesNotMatch"
)

// refuse returns the error of a request that cannot be authenticated.
func refuse(code, message string) error {
	status := http.StatusForbidden
	if code == codeIncomplete || code == codeExpired {
		status = http.StatusBadRequest
	}
	return &api.AuthenticationError{Code: code, Message: message, Status: status}
}

// Principals knows who has which access key.
type Principals interface {
	Principal(accessKeyID string) (*principal.Principal, bool)
}

// Signed accepts requests that a known principal has signed with SigV4.
type Signed struct {
	principals Principals
	regions    []string // Empty means any.
	services   []string
	now        func() time.Time
	signatures sigv4.Verifier
}

// NewSigned returns an authenticator of principals. regions and services are what a signature's scope may hold. No regions
// mean any, for services that store nothing by Region.
func NewSigned(principals Principals, regions []string, services ...string) *Signed {
	return &Signed{principals: principals, regions: regions, services: services, now: time.Now}
}

// Authenticate implements api.Authenticator. The Region is the scope's, the account the principal's.
func (a *Signed) Authenticate(r *http.Request, body func() ([]byte, error)) (api.Caller, error) {
	view := signedView(r)
	s, err := parse(view, r)
	if err != nil {
		return api.Caller{}, err
	}
	if err := a.checkScope(s); err != nil {
		return api.Caller{}, err
	}
	who, ok := a.principals.Principal(s.AccessKeyID)
	if !ok || !hmac.Equal([]byte(who.SessionToken), []byte(s.SessionToken)) {
		return api.Caller{}, refuse(codeUnknownKey, "The access key id or the session token is not known here. The keys are in the credentials file that the server names at its start, or come from this server's STS.")
	}
	payload, err := body()
	if err != nil {
		return api.Caller{}, err
	}
	payloadHash, err := payloadHash(r, s, payload)
	if err != nil {
		return api.Caller{}, err
	}
	if !a.signatures.Verify(view, s, who.SecretKey, payloadHash, sigv4.Encoded) {
		return api.Caller{}, refuse(codeMismatch, fmt.Sprintf(
			"The signature does not match. Check the secret key and how the request is signed. The canonical request should have been:\n%s",
			s.AppendCanonicalRequest(nil, view, payloadHash, sigv4.Encoded)))
	}
	// A client without the secret must not learn that the key once existed.
	if !who.Expires.IsZero() && !a.now().Before(who.Expires) {
		return api.Caller{}, refuse(codeExpiredToken, "The security token included in the request is expired")
	}
	return api.Caller{
		Account: who.Account, Region: s.Region, Principal: who.ARN, UserID: who.UserID(), AccessKeyID: who.AccessKeyID,
	}, nil
}

// parse reads the signature of a request. A request without one is refused.
func parse(view *sigv4.Request, r *http.Request) (*sigv4.Signature, error) {
	place := sigv4.PlaceOf(view)
	if authorization := r.Header.Get("Authorization"); authorization != "" && place != sigv4.InHeader {
		name, _, _ := strings.Cut(authorization, " ")
		return nil, refuse(codeIncomplete, fmt.Sprintf("The Authorization header begins with %q; it must begin with %s.", excerpt.Of(name, excerpt.Shown), sigv4.HMAC))
	}
	if place == sigv4.Nowhere {
		return nil, refuse(codeMissingToken, "The request is not signed. Sign it with AWS Signature Version 4.")
	}
	s, err := sigv4.Parse(view)
	if err != nil {
		return nil, refuse(codeIncomplete, err.Error())
	}
	if s.Algorithm != sigv4.HMAC {
		return nil, refuse(codeIncomplete, fmt.Sprintf("The algorithm is %s; it must be %s.", s.Algorithm, sigv4.HMAC))
	}
	return s, nil
}

// checkScope checks what the signature covers, and when it was made.
func (a *Signed) checkScope(s *sigv4.Signature) error {
	if err := s.CheckDate(); err != nil {
		return refuse(codeMismatch, err.Error())
	}
	if err := checkRegion(s.Region, a.regions); err != nil {
		return err
	}
	if !slices.Contains(a.services, s.Service) {
		return refuse(codeMismatch, fmt.Sprintf("The credential is scoped to service %q; it must be scoped to %s.", s.Service, strings.Join(a.services, " or ")))
	}
	now := a.now()
	from, until := s.Validity()
	if now.After(until) {
		return refuse(codeExpired, fmt.Sprintf("The signature of %s has expired: it is %s here.", s.Time.Format(sigv4.TimeFormat), now.UTC().Format(sigv4.TimeFormat)))
	}
	if now.Before(from) {
		return refuse(codeExpired, fmt.Sprintf("The signature of %s is not yet valid: it is %s here.", s.Time.Format(sigv4.TimeFormat), now.UTC().Format(sigv4.TimeFormat)))
	}
	return nil
}

// checkRegion refuses a Region that is not valid, or not among those that are accepted, if there are any. AWS's services
// answer in this way to the Region of another endpoint.
func checkRegion(region string, accepted []string) error {
	if len(accepted) > 0 && slices.Contains(accepted, region) || len(accepted) == 0 && lattice.ValidRegion(region) {
		return nil
	}
	served := "A Region has a name such as us-west-2."
	if len(accepted) > 0 {
		served = "This server serves " + strings.Join(accepted, ", ") + " (--regions)."
	}
	return refuse(codeMismatch, fmt.Sprintf("Credential should be scoped to a valid Region, not %q. %s", excerpt.Of(region, excerpt.Shown), served))
}

// payloadHash returns the hash of the body, after checking that it is the one that the request declares, if any.
// A body that is left unsigned on purpose is refused: A-114.
func payloadHash(r *http.Request, s *sigv4.Signature, body []byte) (string, error) {
	sum := sha256.Sum256(body)
	actual := hex.EncodeToString(sum[:])
	declared := r.Header.Get("X-Amz-Content-Sha256")
	if declared == "" && s.Presigned {
		declared = r.URL.Query().Get("X-Amz-Content-Sha256")
	}
	switch {
	case declared == "" || declared == actual:
		return actual, nil
	case declared == sigv4.UnsignedPayload && len(body) == 0:
		return declared, nil
	default:
		return "", refuse(codeMismatch, "The body's SHA-256 is not the one in x-amz-content-sha256.")
	}
}
