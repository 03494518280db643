package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Principals are the principals that a statement is about.
type Principals struct {
	// Not reports that the statement is about everybody else (NotPrincipal).
	Not bool
	// Everyone is set by "*" and by {"AWS": "*"}, which are the same in a policy of a resource (IAM, Principal).
	Everyone bool
	aws      []principal
	// others are the services and federated principals, which sign nothing here.
	others []string
}

// principal is an account, a user, a role or a session that a policy names.
type principal struct {
	source string
	// account is set if the whole account is meant.
	account string
	// role is the path and name of a role; its account is in roleAccount. All of its sessions are meant.
	role, roleAccount string
}

func parsePrincipals(raw json.RawMessage, where string) (*Principals, error) {
	if first(raw) == '"' {
		all, err := text1(raw, where)
		if err == nil && all != "*" {
			err = syntax(where, `is %q; it must be "*" or an object such as {"AWS": "111122223333"}`, all)
		}
		return &Principals{Everyone: true}, err
	}
	members, err := object(raw, where)
	if err != nil {
		return nil, err
	}
	p := &Principals{}
	var problems []error
	for _, m := range members {
		names, err := texts(m.value, where+"."+m.name)
		if err != nil {
			problems = append(problems, err)
		}
		switch m.name {
		case "AWS":
			for _, name := range names {
				if name == "*" {
					p.Everyone = true
					continue
				}
				one, err := parsePrincipal(name)
				if err != nil {
					problems = append(problems, syntax(where+"."+m.name, "is %q; %v", name, err))
				}
				p.aws = append(p.aws, one)
			}
		case "Service", "Federated", "CanonicalUser":
			p.others = append(p.others, names...)
		default:
			problems = append(problems, syntax(where+"."+m.name, "is not a type of principal"))
		}
	}
	if len(members) == 0 {
		problems = append(problems, syntax(where, "names nobody"))
	}
	return p, errors.Join(problems...)
}

func parsePrincipal(name string) (principal, error) {
	p := principal{source: name}
	if isAccount(name) {
		p.account = name
		return p, nil
	}
	parts := strings.SplitN(name, ":", 6)
	kind, rest, _ := strings.Cut(parts[len(parts)-1], "/")
	switch {
	case strings.ContainsAny(name, "*?"):
		// IAM, Principal: part of a name or ARN cannot be a wildcard.
		return p, errors.New(`a wildcard can stand alone only, as in "*"; use the condition key aws:PrincipalArn for patterns`)
	case len(parts) != 6 || parts[0] != "arn" || !isAccount(parts[4]) || kind == "group":
		return p, errors.New("it must be an account id, the ARN of an account, user, role or session, or *")
	case parts[2] == "iam" && kind == "root" && rest == "":
		p.account = parts[4]
	case parts[2] == "iam" && kind == "role" && rest != "":
		p.role, p.roleAccount = rest, parts[4]
	}
	return p, nil
}

func isAccount(s string) bool {
	return len(s) == 12 && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// apply reports whether the statement of these principals is about a caller.
func (p *Principals) apply(c *Caller, effect Effect) bool {
	if !p.Not {
		return p.Everyone || p.names(c) > 0
	}
	if p.Everyone {
		return false
	}
	// A Deny exempts a caller only if it lists all of the caller's names: account, role and session (IAM, NotPrincipal;
	// In an Allow, one of them is enough.
	named := p.names(c)
	if effect == Deny {
		return c.Anonymous() || named < c.names()
	}
	return named == 0
}

// names returns how many of a caller's names are among the principals.
func (p *Principals) names(c *Caller) int {
	if c.Anonymous() || len(p.aws) == 0 {
		return 0
	}
	var account, role, own bool
	for i := range p.aws {
		one := &p.aws[i]
		account = account || one.account != "" && one.account == c.Account
		role = role || one.isRoleOf(c)
		own = own || one.source == c.ARN
	}
	count := 0
	for _, named := range [...]bool{account, role, own && !c.isRoot()} {
		if named {
			count++
		}
	}
	return count
}

// isRoleOf reports whether a principal is the role of a caller's session.
func (p *principal) isRoleOf(c *Caller) bool {
	if p.role == "" || p.roleAccount != c.Account {
		return false
	}
	if c.RoleARN != "" {
		return p.source == c.RoleARN
	}
	path := c.sessionRole()
	if path == "" {
		return false
	}
	// The ARN of a session does not have the path of its role, and names of roles are unique in an account.
	return p.role == path || !strings.Contains(path, "/") && p.role[strings.LastIndexByte(p.role, '/')+1:] == path
}

// String lists the principals as a policy does.
func (p *Principals) String() string {
	var list []string
	if p.Everyone {
		list = append(list, "*")
	}
	for _, one := range p.aws {
		list = append(list, one.source)
	}
	return fmt.Sprint(strings.Join(slices.Concat(list, p.others), ", "))
}
