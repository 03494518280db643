package policy

import "strings"

// Caller identifies who makes a request. The zero Caller is anonymous.
type Caller struct {
	// ARN is the ARN of a user, of the account's root or of a role's session. It is empty for anonymous callers.
	ARN     string
	Account string
	// RoleARN is the role of a session. If it is empty, the session's ARN gives the role's name.
	RoleARN string
	UserID  string
	// TokenIssued is when the caller's temporary credentials were given, as RFC 3339 writes it, and empty for others.
	TokenIssued string
	// OrgID and OrgPaths place the account in an organization, if it is in one.
	OrgID    string
	OrgPaths []string
	// Tags are those of the user, the role or the session.
	Tags map[string]string
}

// Anonymous reports whether nobody has signed the request.
func (c *Caller) Anonymous() bool { return c.ARN == "" }

// name returns the caller's name in refusals.
func (c *Caller) name() string {
	if c.Anonymous() {
		return "anonymous"
	}
	return c.ARN
}

// resource returns the last part of the caller's ARN, such as user/path/name.
func (c *Caller) resource() string { return c.ARN[strings.LastIndexByte(c.ARN, ':')+1:] }

func (c *Caller) isRoot() bool { return c.resource() == "root" }

// names counts the caller's names in the sense of NotPrincipal: its account, its role if it is a session, and its own.
func (c *Caller) names() int {
	switch {
	case c.isRoot():
		return 1
	case c.sessionRole() != "":
		return 3
	default:
		return 2
	}
}

// sessionRole returns the role in the ARN of a session: the text between assumed-role/ and the session's name. It is empty
// if the caller is not a session.
func (c *Caller) sessionRole() string {
	path, found := strings.CutPrefix(c.resource(), "assumed-role/")
	if !found {
		return ""
	}
	return path[:max(0, strings.LastIndexByte(path, '/'))]
}

// principalARN is the value of aws:PrincipalArn: for a session it is the ARN of the role (IAM, aws:PrincipalArn).
func (c *Caller) principalARN() string {
	if c.RoleARN != "" {
		return c.RoleARN
	}
	if role := c.sessionRole(); role != "" {
		return "arn:aws:iam::" + c.Account + ":role/" + role
	}
	return c.ARN
}

// kind is the value of aws:PrincipalType.
func (c *Caller) kind() string {
	if c.Anonymous() {
		return "Anonymous"
	}
	switch kind, _, _ := strings.Cut(c.resource(), "/"); kind {
	case "root":
		return "Account"
	case "assumed-role":
		return "AssumedRole"
	case "federated-user":
		return "FederatedUser"
	default:
		return "User"
	}
}

// userName is the name of a user, without its path. Others have none.
func (c *Caller) userName() string {
	path, found := strings.CutPrefix(c.resource(), "user/")
	if !found {
		return ""
	}
	return path[strings.LastIndexByte(path, '/')+1:]
}
