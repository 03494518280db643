package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Warning is something in a valid policy that can never match, or does something other than it seems to.
type Warning struct {
	// Where is the path of the element, such as Statement[0].Resource.
	Where string
	Text  string
}

func (w Warning) String() string { return w.Where + " " + w.Text }

// Lint returns what may surprise the author of a policy. A policy whose statements name no principals counts as a caller's
// policy.
func (d *Document) Lint() []Warning {
	l := linter{document: d}
	for i := range d.Statements {
		l.statement = &d.Statements[i]
		l.where = fmt.Sprintf("Statement[%d]", i)
		l.principals()
		l.actions()
		l.resources()
		for j := range l.statement.Conditions {
			l.condition(&l.statement.Conditions[j])
		}
		l.variables()
	}
	return l.warnings
}

// linter goes through the statements.
type linter struct {
	document  *Document
	statement *Statement
	where     string
	warnings  []Warning
}

func (l *linter) warn(element, format string, args ...any) {
	l.warnings = append(l.warnings, Warning{l.where + "." + element, fmt.Sprintf(format, args...)})
}

// never warns about a statement that cannot apply, and says what that means.
func (l *linter) never(element, format string, args ...any) {
	consequence := "so the statement allows nothing"
	if l.statement.Effect == Deny {
		consequence = "so the Deny never applies"
	}
	l.warn(element, format+", "+consequence, args...)
}

func (l *linter) principals() {
	s, p := l.statement, l.statement.Principals
	switch {
	case p == nil:
	case p.Not && p.Everyone:
		l.never("NotPrincipal", "excepts everybody")
	case p.Not && s.Effect == Allow:
		l.warn("NotPrincipal", "with Allow lets everybody else in, anonymous callers too, and IAM does not support it: name who may pass, or use Deny")
	case p.Not:
		l.exceptions()
	case !p.Everyone && len(p.aws) == 0:
		l.never("Principal", "names services and federated principals only, which sign no requests here")
	case p.Everyone && s.Effect == Allow && len(s.Conditions) == 0:
		l.warn("Principal", "is * and there is no Condition: everybody may do this, anonymous callers too")
	}
}

// exceptions warns about callers whom a Deny does not exempt, since it lists only some of their names.
func (l *linter) exceptions() {
	p := l.statement.Principals
	accounts := map[string]bool{}
	for _, one := range p.aws {
		accounts[one.account] = true
	}
	for _, one := range p.aws {
		account := accountOf(one.source)
		switch {
		case one.account != "":
		case !accounts[account]:
			l.warn("NotPrincipal", "names %s and not its account: a caller is excepted by all of its names, so this one is denied too; add %s", one.source, account)
		case one.role != "" && !slices.ContainsFunc(p.aws, func(other principal) bool { return strings.Contains(other.source, ":assumed-role/") }):
			l.warn("NotPrincipal", "names the role %s and none of its sessions, which are denied too; a condition on aws:PrincipalArn excepts all of them", one.source)
		}
	}
}

// isAuth reports whether the statement is one of an auth policy.
func (l *linter) isAuth() bool { return l.statement.Principals != nil }

func (l *linter) actions() {
	s := l.statement
	if !l.isAuth() {
		return
	}
	element := "Action"
	if s.NotAction {
		element = "NotAction"
	}
	if !l.statement.invoke && !l.statement.connect {
		l.never(element, "leaves no action: there are %s and %s", ActionInvoke, ActionConnect)
		return
	}
	for _, a := range s.Actions {
		one := []Pattern{a}
		if !matchesAny(one, &Request{}, text{a: ActionInvoke}, false) && !matchesAny(one, &Request{}, text{a: ActionConnect}, false) {
			l.warn(element, "is %q, which is no action: there are %s and %s", a.Source, ActionInvoke, ActionConnect)
		}
	}
}

func (l *linter) resources() {
	s := l.statement
	element := "Resource"
	if s.NotResource {
		element = "NotResource"
		if slices.ContainsFunc(s.Resources, func(p Pattern) bool { return p.form == formAny }) {
			l.never(element, "is *, which leaves nothing")
		}
	}
	if !l.statement.invoke && !l.statement.connect {
		return
	}
	for _, r := range s.Resources {
		_, service, found := strings.Cut(r.Source, ":service/")
		if !found {
			if l.isAuth() && !strings.ContainsAny(r.Source, "*?$") {
				l.warn(element, "is %q, which is no service: the resource of a request is the ARN of a service and the path", r.Source)
			}
			continue
		}
		hasPath, open := strings.Contains(service, "/"), strings.ContainsAny(service, "*$")
		switch {
		case !hasPath && !open && l.statement.invoke:
			l.warn(element, "is %q, a service without a path, which no request (%s) has: write %s/*", r.Source, ActionInvoke, r.Source)
		case hasPath && !l.statement.invoke:
			l.warn(element, "is %q, a service with a path, which no connection (%s) has", r.Source, ActionConnect)
		case strings.Contains(service, "?") && hasPath:
			l.warn(element, "is %q: a question mark stands for one character; the query is no part of a resource", r.Source)
		}
	}
}

// present has the keys that a request through the network can have.
func present(k Key) bool {
	if k.own || strings.HasPrefix(k.Name, trafficPrefix) {
		return true
	}
	switch k.Name {
	case KeySourceIP, KeySecureTransport, KeyRequestedRegion, KeyResourceTag, KeyUserAgent, KeyReferer:
		return true
	}
	return false
}

// httpOnly reports whether only requests have a key, and connections do not.
func httpOnly(k Key) bool {
	switch k.Name {
	case KeyRequestMethod, KeyRequestPath, KeyRequestHeader, KeyRequestQueryString:
		return true
	}
	return false
}

func (l *linter) condition(c *Condition) {
	op, facts := &c.operator, c.Key.facts()
	element := "Condition." + op.name
	absent := ""
	switch {
	case l.isAuth() && !present(c.Key):
		absent = "no request through the network has"
	case l.isAuth() && httpOnly(c.Key) && !l.statement.invoke:
		absent = "no connection (" + ActionConnect + ") has"
	}
	if absent != "" && op.kind != kindNull {
		if op.ifExists || op.negated && op.set != anyValue || op.set == allValues {
			l.warn(element, "is about %s, which %s: the condition always holds", c.Key, absent)
		} else {
			l.never(element, "is about %s, which %s", c.Key, absent)
		}
		return
	}
	for i := range c.values {
		l.value(c, &c.values[i], element)
	}
	if wrong := wrongOperator(op.kind, facts.values); wrong != "" {
		l.warn(element, "compares %s as %s, which its values are not", c.Key, wrong)
	}
	if op.set == allValues && l.statement.Effect == Allow && !l.checksPresence(c.Key) {
		l.warn(element, `holds too when the request has no %s: add "Null": {%q: "false"}`, c.Key, c.Key.String())
	}
	if op.set != single && !facts.several && facts.name != KeyRequestHeader {
		l.warn(element, "has a qualifier for several values, and %s has one", c.Key)
	}
}

// wrongOperator returns the type of an operator's values, if it is not the type of the key's.
func wrongOperator(k kind, values valueType) string {
	switch {
	case k == kindIP && values != typeIP && values != typeString:
		return "an address"
	case k == kindNumeric && values != typeNumeric && values != typeString && values != typeDate:
		return "a number"
	case k == kindDate && values != typeDate && values != typeString && values != typeNumeric:
		return "a date"
	case k == kindBool && values != typeBool && values != typeString:
		return "a boolean"
	case k == kindARN && values != typeARN && values != typeString:
		return "an ARN"
	}
	return ""
}

// checksPresence reports whether another condition of the statement requires a key to be present.
func (l *linter) checksPresence(k Key) bool {
	return slices.ContainsFunc(l.statement.Conditions, func(c Condition) bool {
		return c.operator.kind == kindNull && c.Key == k
	})
}

// value warns about a value of a condition that its key never has.
func (l *linter) value(c *Condition, v *value, element string) {
	op := &c.operator
	if v.bare {
		l.warn(element, "has %s without quotes for %s: AWS's examples have all values in quotes, and a number loses its leading zeros", v.text, c.Key)
	}
	isText := op.kind == kindString || op.kind == kindStringFolded
	if isText && strings.ContainsAny(v.text, "*?") && !strings.Contains(v.text, "${") && c.Key.Name != KeyRequestHeader && c.Key.Name != KeyRequestQueryString {
		l.warn(element, "has %q for %s: a wildcard is one with StringLike and ArnLike only", v.text, c.Key)
		return
	}
	fixed := !strings.ContainsAny(v.text, "*?$")
	switch c.Key.Name {
	case KeyRequestMethod:
		if isText && op.kind == kindString && fixed && v.text != strings.ToUpper(v.text) {
			l.warn(element, "has %q for %s: methods are in upper case", v.text, c.Key)
		}
	case KeyRequestPath:
		if v.text != "" && !strings.ContainsAny(v.text[:1], "/*?$") && op.kind != kindNull {
			l.warn(element, "has %q for %s: paths begin with /", v.text, c.Key)
		}
	case KeyPrincipalType:
		if op.kind == kindString && fixed && !slices.Contains([]string{"Account", "Anonymous", "AssumedRole", "FederatedUser", "User"}, v.text) {
			l.warn(element, "has %q for %s: it is Account, Anonymous, AssumedRole, FederatedUser or User", v.text, c.Key)
		}
	case KeyPrincipalARN:
		if strings.Contains(v.text, ":assumed-role/") {
			l.warn(element, "has %q for %s: of a session it is the ARN of the role, as in arn:aws:iam::111122223333:role/name", v.text, c.Key)
		}
	case KeyPrincipalAccount, KeyResourceAccount, KeySourceVpcOwnerAccount:
		if isText && fixed && !isAccount(v.text) {
			l.warn(element, "has %q for %s: an account has 12 digits", v.text, c.Key)
		}
	}
	if op.kind == kindARN && fixed && strings.Count(v.text, ":") < 5 {
		l.warn(element, "has %q for %s: an ARN has six parts", v.text, c.Key)
	}
}

// variables warns about variables in elements that have none.
func (l *linter) variables() {
	s := l.statement
	var found string
	note := func(source string) {
		if at := strings.Index(source, "${"); at >= 0 && found == "" {
			found = source[at:]
		}
	}
	if l.document.Version != variablesVersion {
		for _, r := range s.Resources {
			note(r.Source)
		}
		for i := range s.Conditions {
			for _, v := range s.Conditions[i].values {
				note(v.text)
			}
		}
	}
	if found != "" {
		l.warn("Resource", "or a condition has %q: only policies of the Version %s have variables, this one is %q", found, variablesVersion, l.document.Version)
	}
}
