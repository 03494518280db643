package lattice

import (
	"iter"
	"slices"
	"strings"
)

// A custom domain name belongs to one account, in all Regions: to one that has verified a domain that covers it, or else to
// the one that came first. Both planes ask here: the control plane before a service gets a name, the data plane for
// names that several accounts had before this rule, or that have changed owners.

// CanonicalDomainName returns a host or domain name in the form in which names are compared, by the data plane too. Names are
// ASCII.
func CanonicalDomainName(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// domains yields the domains in which a canonical name lies, from the name itself to its last label.
func domains(name string) iter.Seq[string] {
	return func(yield func(domain string) bool) {
		for name != "" && yield(name) {
			_, name, _ = strings.Cut(name, ".")
		}
	}
}

// VerifiedBy returns the longest verified domain that covers a canonical name, and the accounts that have verified it. It
// returns "" if nobody has verified one. verifiers returns the accounts that have verified a domain.
func VerifiedBy(name string, verifiers func(domain string) []string) (domain string, accounts []string) {
	for domain := range domains(name) {
		if accounts := verifiers(domain); len(accounts) > 0 {
			return domain, accounts
		}
	}
	return "", nil
}

// DomainNameOwner returns the account to which a custom domain name belongs. claimants are the accounts of the services
// that have it, in the order of their creation, and verified those that VerifiedBy returns.
func DomainNameOwner(claimants, verified []string) string {
	for _, account := range claimants {
		if slices.Contains(verified, account) {
			return account
		}
	}
	if len(claimants) == 0 {
		return ""
	}
	return claimants[0]
}
