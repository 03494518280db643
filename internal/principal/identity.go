package principal

import (
	"maps"
	"slices"
	"strings"
)

// identityType ends the identity if an auth policy applied (UG lambda-functions).
const identityType = "; Type=AWS_IAM"

// LatticeIdentity returns the value of x-amzn-lattice-identity, by which targets know who has signed a request. Authorized
// says that an auth policy applied. It must not be changed. A-720.
func (p *Principal) LatticeIdentity(authorized bool) []byte {
	value := p.identity
	if value == nil {
		value = p.latticeIdentity()
	}
	if !authorized {
		value = value[:len(value)-len(identityType)]
	}
	return value
}

func (p *Principal) latticeIdentity() []byte {
	session := ""
	if kind, rest := resource(p.ARN); kind == "assumed-role" {
		session = rest[strings.LastIndexByte(rest, '/')+1:]
	}
	return []byte("Principal=" + p.ARN + "; PrincipalOrgID=" + p.orgID() + "; PrincipalOrgPaths=" + p.OrgPath + "; SessionName=" + session + identityType)
}

// LatticeIdentityTags returns the value of x-amzn-lattice-identity-tags: who has signed a request, and the tags that policies see
// as aws:PrincipalTag/key, in the order of their keys. It must not be changed. A-721.
func (p *Principal) LatticeIdentityTags() []byte {
	if p.identityTags != nil {
		return p.identityTags
	}
	return p.latticeIdentityTags()
}

func (p *Principal) latticeIdentityTags() []byte {
	var b strings.Builder
	b.WriteString("principal=" + escaped(p.ARN) + ";principalorgid=" + p.orgID() + ";principalorgpath=" + p.OrgPath)
	for _, key := range slices.Sorted(maps.Keys(p.Tags)) {
		b.WriteString(";" + escaped(key) + "=" + escaped(p.Tags[key]))
	}
	return []byte(b.String())
}

// escaped escapes the semicolons in a value, which would end it (UG http-targets).
func escaped(value string) string { return strings.ReplaceAll(value, ";", `\;`) }
