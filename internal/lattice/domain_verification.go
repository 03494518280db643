package lattice

import (
	"crypto/rand"
	"strings"
	"time"

	"trellis/internal/shape"
)

// VerificationTimeout is how long the TXT record of a domain is looked for. AWS's own time is not documented.
const VerificationTimeout = 72 * time.Hour

// DomainVerification proves that a domain belongs to its owner, who publishes a TXT record that nobody else could know.
type DomainVerification struct {
	Base
	DomainName string `json:"domainName"`
	// TXTName is the first label of the record's name, to be put before the domain.
	TXTName  string `json:"txtName"`
	TXTValue string `json:"txtValue"`
	// VerifiedAt is when the record was found. It is zero before.
	VerifiedAt time.Time `json:"verifiedAt,omitzero"`
}

// DomainVerificationKey returns the key of a domain verification.
func DomainVerificationKey(scope Scope, id string) Key { return Key{KindDomainVerification, scope, id} }

func (d *DomainVerification) Key() Key        { return DomainVerificationKey(d.Scope, d.ID) }
func (d *DomainVerification) ARN() string     { return arn(d.Scope, "domainverification/"+d.ID) }
func (d *DomainVerification) Clone() Resource { c := *d; return &c }
func (d *DomainVerification) Indexes() []Index {
	indexes := []Index{All(KindDomainVerification, d.Scope)}
	if d.VerifiedAt.IsZero() {
		indexes = append(indexes, UnverifiedDomains)
	} else {
		indexes = append(indexes, VerificationsOf(CanonicalDomainName(d.DomainName)))
	}
	return d.indexes(indexes...)
}

// Claims holds the domain: it is verified once, and upper and lower case are the same.
func (d *DomainVerification) Claims() []Claim {
	return []Claim{{KindDomainVerification, d.Scope, "domain name", strings.ToLower(d.DomainName)}}
}

// UnverifiedDomains is the index of all domain verifications, of whatever scope, whose record has not been found.
var UnverifiedDomains = Index{Kind: KindDomainVerification, By: "unverified"}

// VerificationsOf is the index of the verifications of a domain that have succeeded, of whatever scope. The domain is
// canonical.
func VerificationsOf(domain string) Index {
	return Index{Kind: KindDomainVerification, By: "verified", Value: domain}
}

// Status returns the state of the verification at a time. Like that of a Lifecycle it follows from the time.
func (d *DomainVerification) Status(now time.Time) shape.VerificationStatus {
	switch {
	case !d.VerifiedAt.IsZero():
		return shape.VerificationStatusVerified
	case now.Before(d.CreatedAt.Add(VerificationTimeout)):
		return shape.VerificationStatusPending
	}
	return shape.VerificationStatusVerificationTimedOut
}

// RecordName is the name of the TXT record.
func (d *DomainVerification) RecordName() string { return d.TXTName + "." + d.DomainName }

// Covers reports whether a name is the domain or lies within it (UG resource-configuration).
func (d *DomainVerification) Covers(name string) bool {
	return strings.EqualFold(name, d.DomainName) || IsSubdomain(name, d.DomainName)
}

// IsSubdomain reports whether a name lies within a domain, and is not the domain itself.
func IsSubdomain(name, domain string) bool {
	return strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(domain))
}

// NewTXTRecord returns the name and the value of a TXT record that nobody can guess. They have AWS's form: an underscore
// and 13 characters; `vpc-lattice:` and 13 characters. The name goes before the domain.
func NewTXTRecord() (name, value string) {
	text := strings.ToLower(rand.Text())
	return "_" + text[:13], "vpc-lattice:" + text[13:26]
}
