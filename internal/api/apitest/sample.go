package apitest

import (
	"strings"
	"unicode/utf8"

	"trellis/internal/api/bounds"
)

// sample is values that match a pattern, and some that do not.
type sample struct {
	valid string
	// Between prefix and suffix, any number of the letter "a" from one on is possible.
	prefix, suffix string
	// fixed: only values of valid's length are made. most is the longest possible value, or 0 for no limit.
	fixed bool
	most  int
	bad   []string
}

const (
	arnStart    = "arn:a"
	latticePart = ":vpc-lattice:us-west-2:123456789012:"
	seventeen   = "0123456789abcdef0"
)

// identifier is the sample of a pattern that an id or an ARN matches.
func identifier(id, path string) sample {
	return sample{
		valid: id + seventeen, prefix: arnStart, suffix: latticePart + path + id + seventeen,
		bad: []string{id + "0123456789ABCDEF0", id + seventeen + "0", "x" + id + seventeen, id + seventeen + "\n"},
	}
}

// resourceName is the sample of a name that must not begin with something.
func resourceName(forbidden ...string) sample {
	s := sample{valid: "abc", bad: []string{"Abc", "-abc", "abc-", "a--b", "a_b", "a b", "abc\n", "äbc"}}
	for _, prefix := range forbidden {
		s.bad = append(s.bad, prefix+"abc")
	}
	return s
}

// sampleOf returns the sample for a pattern of the model. ok is false for a pattern that it does not know; a test
// makes sure that there is none.
func sampleOf(pattern string) (s sample, ok bool) {
	const arnHead = `arn(:[a-z0-9]+([.-][a-z0-9]+)*){2}(:([a-z0-9]+([.-][a-z0-9]+)*)?){2}`
	switch pattern {
	case `((((sn)|(svc)|(rcfg))-[0-9a-z]{17})|(` + arnHead + `:((servicenetwork/sn)|(resourceconfiguration/rcfg)|(service/svc))-[0-9a-z]{17}))`:
		return identifier("svc-", "service/"), true
	case arnHead + `:((servicenetwork/sn)|(service/svc)|(resourceconfiguration/rcfg))-[0-9a-z]{17}`:
		return sample{
			valid: "arn:aws" + latticePart + "service/svc-" + seventeen, prefix: arnStart, suffix: latticePart + "service/svc-" + seventeen,
			bad: []string{"arn:aws" + latticePart + "targetgroup/tg-" + seventeen, "svc-" + seventeen},
		}, true
	case arnHead + `:([^/].*)?`:
		return sample{
			valid: "arn:aws:logs:us-west-2:123456789012:log-group:a", prefix: "arn:aws:logs:us-west-2:123456789012:",
			bad: []string{"arn:aws:logs:us-west-2:123456789012:/a", "log-group-of-some-length"},
		}, true
	case `(` + arnHead + `:certificate/[0-9a-z-]+)?`:
		return sample{
			prefix: "arn:aws:acm:us-west-2:123456789012:certificate/",
			bad:    []string{"x", "\n", "arn:aws:acm:us-west-2:123456789012:certificate/X"},
		}, true
	case `arn:[a-z0-9][-.a-z0-9]{0,62}:vpc-lattice:([a-z0-9][-.a-z0-9]{0,62})?:\d{12}?:[^/].{0,1023}`:
		return sample{
			valid: "arn:aws" + latticePart + "service/svc-" + seventeen, prefix: "arn:aws" + latticePart, most: 1024,
			bad: []string{"x", "arn:aws:ec2:us-west-2:123456789012:vpc/a", "arn:aws" + latticePart + "/a", "arn:aws" + latticePart + "a\n"},
		}, true
	case `arn:[a-z0-9][-.a-z0-9]{0,62}:[a-z0-9][-.a-z0-9]{0,62}:([a-z0-9][-.a-z0-9]{0,62})?:\d{12}?:[^/].{0,1023}`:
		return sample{
			valid: "arn:aws:rds:us-west-2:123456789012:cluster:a", prefix: "arn:aws:rds:us-west-2:123456789012:", most: 1024,
			bad: []string{"arn:aws:rds:us-west-2:12345678901:a", "arn:aws:rds:us-west-2:123456789012:/a"},
		}, true
	case `((\d{1,5}\-\d{1,5})|(\d+))`:
		return sample{valid: "80", fixed: true, bad: []string{"80-", "a", "80\n", "80,81"}}, true
	case `((listener-[0-9a-z]{17})|(^arn:[a-z0-9\-]+:vpc-lattice:[a-zA-Z0-9\-]+:\d{12}:service/svc-[0-9a-z]{17}/listener/listener-[0-9a-z]{17}$))`:
		return identifier("listener-", "service/svc-"+seventeen+"/listener/"), true
	case `((rule-[0-9a-z]{17})|(^arn:[a-z0-9\-]+:vpc-lattice:[a-zA-Z0-9\-]+:\d{12}:service/svc-[0-9a-z]{17}/listener/listener-[0-9a-z]{17}/rule/rule-[0-9a-z]{17}$))`:
		return identifier("rule-", "service/svc-"+seventeen+"/listener/listener-"+seventeen+"/rule/"), true
	case `.*(^/[a-zA-Z0-9@:%_+.~#?&/=-]*$|(^$)).*`:
		return sample{prefix: "/", bad: []string{"a", "/a b", "/a\n", "\n/a", "a\n/a\nb"}}, true
	case `/[a-zA-Z0-9@:%_+.~#?&/=-]*`:
		return sample{valid: "/", prefix: "/", bad: []string{"a", "/a b", "/a\n"}}, true
	case `.*(^[0-9-,]+$|(^$)).*`:
		return sample{valid: "200", fixed: true, bad: []string{"2xx", "200\n", "a\n200\nb"}}, true
	case `.*[!-~]+.*`:
		return sample{valid: "a", bad: []string{" ", "a\n", "\na"}}, true
	case `.*\S.*`:
		return sample{valid: "a", bad: []string{" ", "a\na"}}, true
	case `\d{12}`:
		return sample{valid: "123456789012", fixed: true, bad: []string{"12345678901a"}}, true
	case `vpce-[0-9a-f]{17}`:
		return sample{valid: "vpce-" + seventeen, fixed: true, bad: []string{"vpce-0123456789abcdefg"}}, true
	case `vpc-(([0-9a-z]{8})|([0-9a-z]{17}))`:
		return sample{valid: "vpc-" + seventeen, fixed: true, bad: []string{"vpc-1", "vpc-" + seventeen + "\n"}}, true
	case `sg-(([0-9a-z]{8})|([0-9a-z]{17}))`:
		return sample{valid: "sg-" + seventeen, fixed: true, bad: []string{"sg-12", "sg-" + seventeen + "\n"}}, true
	}
	const nameTail = `(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`
	if head, found := strings.CutSuffix(pattern, nameTail); found {
		if head == "" {
			return resourceName(), true
		}
		return resourceName(strings.TrimSuffix(strings.TrimPrefix(head, "(?!"), ")")), true
	}
	// The rest are of the form ((ID-CLASS)|(arn:...:PATH/ID-CLASS)), in which CLASS is of 17 hexadecimal digits.
	id, tail, found := strings.Cut(strings.TrimPrefix(pattern, "(("), "[")
	path := tail[strings.LastIndex(tail, ":")+1:]
	path, _, isPath := strings.Cut(path, "/")
	if !found || !isPath || !strings.HasPrefix(pattern, "((") {
		return sample{}, false
	}
	return identifier(id, path+"/"), true
}

// text returns a valid string of a shape.
func text(s *bounds.Shape) string {
	if len(s.Enum) > 0 {
		return s.Enum[0]
	}
	if s.Pattern != "" {
		known, _ := sampleOf(s.Pattern)
		return known.valid
	}
	return strings.Repeat("a", int(lowest(s)))
}

// textOf returns a string of n characters. It matches the shape's pattern if ok.
func textOf(s *bounds.Shape, n int) (value string, ok bool) {
	if s.Pattern == "" {
		// two bytes each, so that the test notices a server that counts bytes
		return strings.Repeat("é", n), true
	}
	known, _ := sampleOf(s.Pattern)
	if utf8.RuneCountInString(known.valid) == n {
		return known.valid, true
	}
	fill := n - len(known.prefix) - len(known.suffix)
	if known.fixed || known.most > 0 && n > known.most || fill < 1 {
		return strings.Repeat("a", n), false
	}
	return known.prefix + strings.Repeat("a", fill) + known.suffix, true
}

// HasSample reports whether there are values to try for a pattern.
func HasSample(pattern string) bool {
	s, ok := sampleOf(pattern)
	return ok && len(s.bad) > 0
}
