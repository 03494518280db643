package policy

import (
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// naive is a second evaluator, written from IAM's documentation. It shares nothing with the first: it works on decoded JSON,
// replaces variables before it compares, turns patterns into regular expressions, and collects all values first.
type naive struct {
	caller Caller
	action string
	// resource is the ARN and the path.
	resource string
	now      time.Time
	method   string
	path     string
	query    url.Values
	headers  map[string][]string
	port     string
	sourceIP string
	tags     map[string]string
	service  string
}

// decide returns the outcome and the statement that decided.
func (n *naive) decide(document map[string]any) (Outcome, int) {
	variables := document["Version"] == "2012-10-17"
	outcome, at := ImplicitDeny, -1
	for i, s := range list(document["Statement"]) {
		statement := s.(map[string]any)
		if !n.applies(statement, variables) {
			continue
		}
		if statement["Effect"] == "Deny" {
			if outcome != ExplicitDeny {
				outcome, at = ExplicitDeny, i
			}
		} else if outcome == ImplicitDeny {
			outcome, at = Allowed, i
		}
	}
	return outcome, at
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// truth has a third value for what cannot be decided.
type truth int

const (
	no truth = iota
	maybe
	yes
)

func (n *naive) applies(statement map[string]any, variables bool) bool {
	deny := statement["Effect"] == "Deny"
	needed := yes // The least truth that the elements must have.
	if deny {
		needed = maybe
	}
	if p, ok := statement["Principal"]; ok && !n.isPrincipal(p) {
		return false
	}
	if p, ok := statement["NotPrincipal"]; ok && n.isExcepted(p, deny) {
		return false
	}
	for _, element := range []struct {
		name, value string
		variables   bool
		flags       string
	}{{"Action", n.action, false, "i"}, {"Resource", n.resource, variables, ""}} {
		is := no
		patterns, positive := statement[element.name]
		if !positive {
			patterns = statement["Not"+element.name]
		}
		for _, p := range list(patterns) {
			tokens, state := n.expand(p.(string), element.variables, true)
			if state == yes && like(element.value, tokens, element.flags) {
				is = yes
			}
			if state == maybe {
				is = max(is, maybe)
			}
		}
		if !positive {
			is = yes - is
		}
		if is < needed {
			return false
		}
	}
	conditions, _ := statement["Condition"].(map[string]any)
	for operator, keys := range conditions {
		for key, values := range keys.(map[string]any) {
			if n.condition(operator, key, list(values), variables) < needed {
				return false
			}
		}
	}
	return true
}

// names are all names that a policy may have for a caller.
func (n *naive) names() (all [][]string) {
	c := n.caller
	if c.ARN == "" {
		return nil
	}
	account := []string{c.Account, "arn:aws:iam::" + c.Account + ":root"}
	if c.ARN == account[1] {
		return [][]string{account}
	}
	all = [][]string{account, {c.ARN}}
	if c.RoleARN != "" {
		all = append(all, []string{c.RoleARN})
	}
	return all
}

func (n *naive) isPrincipal(p any) bool {
	if p == "*" {
		return true
	}
	for _, name := range list(p.(map[string]any)["AWS"]) {
		if name == "*" {
			return true
		}
		for _, own := range n.names() {
			if slices.Contains(own, name.(string)) {
				return true
			}
		}
	}
	return false
}

func (n *naive) isExcepted(p any, deny bool) bool {
	if p == "*" {
		return true
	}
	listed := list(p.(map[string]any)["AWS"])
	if slices.Contains(listed, any("*")) {
		return true
	}
	count := 0
	for _, own := range n.names() {
		if slices.ContainsFunc(listed, func(name any) bool { return slices.Contains(own, name.(string)) }) {
			count++
		}
	}
	if deny {
		return count > 0 && count == len(n.names())
	}
	return count > 0
}

// token is a character of a pattern: a wildcard or itself.
type token struct {
	wild byte
	text string
}

var variablePattern = regexp.MustCompile(`(?s)\$\{(.*?)\}`)

// expand replaces variables. The state is no if one has no value, and maybe if one cannot be decided.
func (n *naive) expand(s string, variables, wildcards bool) (tokens []token, state truth) {
	state = yes
	plain := func(text string) {
		for _, c := range text {
			if wildcards && (c == '*' || c == '?') {
				tokens = append(tokens, token{wild: byte(c)})
			} else {
				tokens = append(tokens, token{text: string(c)})
			}
		}
	}
	for s != "" {
		at := variablePattern.FindStringSubmatchIndex(s)
		if !variables || at == nil {
			plain(s)
			break
		}
		plain(s[:at[0]])
		name := s[at[2]:at[3]]
		s = s[at[1]:]
		value, is := n.variable(name)
		if is != yes && state != maybe {
			state = is
		}
		tokens = append(tokens, token{text: value})
	}
	return tokens, state
}

func (n *naive) variable(name string) (string, truth) {
	if len(name) == 1 {
		return name, yes
	}
	name, fallback, hasDefault := strings.Cut(name, ", '")
	values, undecided := n.values(name)
	switch {
	case undecided:
		return "", maybe
	case len(values) == 1:
		return values[0], yes
	case hasDefault:
		return strings.TrimSuffix(fallback, "'"), yes
	}
	return "", no
}

func like(s string, tokens []token, flags string) bool {
	var b strings.Builder
	b.WriteString("(?s" + flags + ")^")
	for _, t := range tokens {
		switch t.wild {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(valid(t.text)))
		}
	}
	return regexp.MustCompile(b.String() + "$").MatchString(valid(s))
}

// valid replaces each byte that is not UTF-8 by a character, since regexp does not accept it in patterns.
func valid(s string) string {
	var b strings.Builder
	for s != "" {
		c, size := utf8.DecodeRuneInString(s)
		if c == utf8.RuneError && size == 1 {
			c = 0xf0000 + rune(s[0])
		}
		b.WriteRune(c)
		s = s[size:]
	}
	return b.String()
}

// values are all values that a request has for a key.
func (n *naive) values(key string) (values []string, undecided bool) {
	some := func(s string) ([]string, bool) {
		if s == "" {
			return nil, false
		}
		return []string{s}, false
	}
	prefix, rest, _ := strings.Cut(key, "/")
	switch strings.ToLower(prefix) {
	case "aws:principaltag":
		return tagged(n.caller.Tags, rest)
	case "aws:resourcetag":
		return tagged(n.tags, rest)
	case "aws:principalarn":
		if n.caller.RoleARN != "" {
			return some(n.caller.RoleARN)
		}
		return some(n.caller.ARN)
	case "aws:principalaccount":
		return some(n.caller.Account)
	case "aws:sourceip":
		return some(n.sourceIP)
	case "aws:currenttime":
		return some(n.now.UTC().Format(time.RFC3339))
	case "aws:epochtime":
		return some(strconv.FormatInt(n.now.Unix(), 10))
	case "vpc-lattice-svcs:requestheader":
		return n.headers[strings.ToLower(rest)], false
	case "vpc-lattice-svcs:requestquerystring":
		return n.query[rest], false
	case "vpc-lattice-svcs:requestmethod":
		return some(n.method)
	case "vpc-lattice-svcs:requestpath":
		return some(n.path)
	case "vpc-lattice-svcs:port":
		return some(n.port)
	case "vpc-lattice-svcs:servicearn":
		return some(n.service)
	}
	panic("the generator makes no other keys than " + key)
}

func tagged(tags map[string]string, key string) (values []string, undecided bool) {
	for k, v := range tags {
		if strings.EqualFold(k, key) {
			values = append(values, v)
		}
	}
	if len(values) > 1 {
		return nil, true
	}
	return values, false
}

func (n *naive) condition(operator, key string, wanted []any, variables bool) truth {
	bare, forAny := strings.CutPrefix(operator, "ForAnyValue:")
	bare, forAll := strings.CutPrefix(bare, "ForAllValues:")
	bare, ifExists := strings.CutSuffix(bare, "IfExists")
	values, undecided := n.values(key)
	texts := bare != "Null" && (strings.HasPrefix(bare, "String") || strings.HasPrefix(bare, "Arn"))
	if texts {
		for _, w := range wanted {
			if _, state := n.expand(scalarText(w), variables, true); state == maybe {
				return maybe
			}
		}
	}
	if undecided {
		return maybe
	}
	is := func(b bool) truth {
		if b {
			return yes
		}
		return no
	}
	if bare == "Null" {
		return is(slices.ContainsFunc(wanted, func(w any) bool {
			return strings.EqualFold(scalarText(w), "true") == (len(values) == 0)
		}))
	}
	positive := strings.Replace(bare, "Not", "", 1)
	negated := positive != bare
	matches := func(value string) bool {
		return slices.ContainsFunc(wanted, func(w any) bool { return n.compare(positive, value, scalarText(w), variables) })
	}
	empty := len(values) == 1 && values[0] == ""
	switch {
	case len(values) == 0 && ifExists:
		return yes
	case forAll && empty:
		return yes
	case forAny && empty:
		return no
	case forAll:
		for _, v := range values {
			if matches(v) == negated {
				return no
			}
		}
		return yes
	case forAny:
		return is(slices.ContainsFunc(values, func(v string) bool { return matches(v) != negated }))
	case negated:
		return is(!slices.ContainsFunc(values, matches))
	default:
		return is(slices.ContainsFunc(values, matches))
	}
}

func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	panic("no scalar")
}

var number = regexp.MustCompile(`^[+-]?[0-9]+(\.[0-9]+)?$`)

func (n *naive) compare(operator, got, want string, variables bool) bool {
	order := strings.TrimPrefix(strings.TrimPrefix(operator, "Numeric"), "Date")
	ordered := func(c int) bool {
		switch order {
		case "Equals":
			return c == 0
		case "LessThan":
			return c < 0
		case "LessThanEquals":
			return c <= 0
		case "GreaterThan":
			return c > 0
		default:
			return c >= 0
		}
	}
	switch {
	case strings.HasPrefix(operator, "Numeric"):
		if !number.MatchString(got) {
			return false
		}
		a, _ := new(big.Rat).SetString(got)
		b, _ := new(big.Rat).SetString(want)
		return ordered(a.Cmp(b))
	case strings.HasPrefix(operator, "Date"):
		a, ok1 := date(got)
		b, ok2 := date(want)
		return ok1 && ok2 && ordered(a.Compare(b))
	case operator == "Bool":
		return strings.EqualFold(got, want)
	case operator == "BinaryEquals":
		return base64.StdEncoding.EncodeToString([]byte(got)) == want
	case operator == "IpAddress":
		address := net.ParseIP(got)
		if !strings.Contains(want, "/") {
			return address != nil && address.Equal(net.ParseIP(want))
		}
		_, network, _ := net.ParseCIDR(want)
		return address != nil && network.Contains(address)
	}
	tokens, state := n.expand(want, variables, operator == "StringLike" || strings.HasPrefix(operator, "Arn"))
	if state != yes {
		return false
	}
	if !strings.HasPrefix(operator, "Arn") || want != "" && strings.Trim(want, "*") == "" {
		flags := ""
		if operator == "StringEqualsIgnoreCase" {
			flags = "i"
		}
		return like(got, tokens, flags)
	}
	parts := [][]token{nil}
	for _, t := range tokens {
		for i, piece := range strings.SplitN(t.text, ":", 6-len(parts)+1) {
			if i > 0 {
				parts = append(parts, nil)
			}
			parts[len(parts)-1] = append(parts[len(parts)-1], token{t.wild, piece})
		}
	}
	gotParts := strings.SplitN(got, ":", 6)
	if len(gotParts) != 6 || len(parts) != 6 {
		return false
	}
	for i := range parts {
		if !like(gotParts[i], parts[i], "") {
			return false
		}
	}
	return true
}

func date(s string) (time.Time, bool) {
	if regexp.MustCompile(`^-?[0-9]+$`).MatchString(s) {
		seconds, err := strconv.ParseInt(s, 10, 64)
		return time.Unix(seconds, 0), err == nil && seconds <= maxEpoch && seconds >= -maxEpoch
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01"} {
		if t, err := time.Parse(layout, s); err == nil && len(strings.Split(s, ",")) == 1 {
			return t, true
		}
	}
	return time.Time{}, false
}
