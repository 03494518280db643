package api

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// pattern is a regular expression of the model. Smithy's patterns may match anywhere in a value; those of this API are meant
// to match the whole value, and do so here. A-102.
type pattern struct {
	match func(string) bool
	// must is what a value has to do, as the message says it.
	must string
}

// satisfy puts a pattern into words for the message, in the model's dialect. hint is for readers who would not understand
// it, and may be empty.
func satisfy(text, hint string) string {
	must := "satisfy regular expression pattern: " + text
	if hint != "" {
		must += " (" + hint + ")"
	}
	return must
}

// expression is a pattern that package regexp can match. The groups \A and \z, unlike ^ and $, never stand for
// the ends of a line.
func expression(text string) *pattern {
	return &pattern{
		match: regexp.MustCompile(`\A(?:` + text + `)\z`).MatchString,
		must:  satisfy(text, ""),
	}
}

// optional is the pattern .*(^TEXT$|(^$)).*, in which both .* match nothing, since they are outside the anchors. Written like
// that, package regexp would take four times as long (BenchmarkPattern).
func optional(text string) *pattern {
	p := expression("(?:" + text + ")?")
	p.must = satisfy(".*(^"+text+"$|(^$)).*", "")
	return p
}

// name is the pattern of resource names. It uses look-ahead, which package regexp does not have:
// (?!PREFIX)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+
func name(forbiddenPrefix string) *pattern {
	text, hint := `(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`, "lower-case letters, digits and single hyphens between them"
	if forbiddenPrefix != "" {
		text = "(?!" + forbiddenPrefix + ")" + text
		hint += ", without the prefix " + forbiddenPrefix
	}
	return &pattern{
		match: func(s string) bool { return isName(s, forbiddenPrefix) },
		must:  satisfy(text, hint),
	}
}

func isName(s, forbiddenPrefix string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return false
	}
	if forbiddenPrefix != "" && strings.HasPrefix(s, forbiddenPrefix) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLowerOrDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

// arn is the pattern of the ARNs of a service, or of any service when it is empty. It asks for up to 1023
// characters of one kind, which is more than package regexp repeats:
// arn:[a-z0-9][-.a-z0-9]{0,62}:SERVICE:([a-z0-9][-.a-z0-9]{0,62})?:\d{12}?:[^/].{0,1023}
func arn(service string) *pattern {
	const part = `[a-z0-9][-.a-z0-9]{0,62}`
	segment, hint := service, "an ARN of "+service
	if service == "" {
		segment, hint = part, "an ARN"
	}
	return &pattern{
		match: func(s string) bool { return isARN(s, service) },
		must:  satisfy("arn:"+part+":"+segment+":("+part+`)?:\d{12}?:[^/].{0,1023}`, hint),
	}
}

func isARN(s, service string) bool {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || !isARNPart(parts[1]) {
		return false
	}
	if service == "" && !isARNPart(parts[2]) || service != "" && parts[2] != service {
		return false
	}
	region, account, resource := parts[3], parts[4], parts[5]
	if region != "" && !isARNPart(region) {
		return false
	}
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return false
	}
	return resource != "" && resource[0] != '/' && utf8.RuneCountInString(resource) <= 1024 &&
		!strings.Contains(resource, "\n")
}

func isARNPart(s string) bool {
	if len(s) < 1 || len(s) > 63 || !isLowerOrDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isLowerOrDigit(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isLowerOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
