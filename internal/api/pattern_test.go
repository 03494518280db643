package api

import (
	"regexp"
	"strings"
	"testing"
)

// The look-ahead of a name pattern says three things that can be said without it.
func TestIsNameAgreesWithTheLookAheadPatterns(t *testing.T) {
	characters := regexp.MustCompile(`\A[a-z0-9-]+\z`)
	matches := func(s, forbidden string) bool {
		return characters.MatchString(s) && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, "-") &&
			!strings.Contains(s, "--") && (forbidden == "" || !strings.HasPrefix(s, forbidden))
	}
	var try func(s string)
	try = func(s string) {
		for _, forbidden := range []string{"", "a-"} {
			if got, want := isName(s, forbidden), matches(s, forbidden); got != want {
				t.Errorf("isName(%q, %q) = %t, want %t", s, forbidden, got, want)
			}
		}
		if len(s) < 5 {
			for _, next := range []string{"a", "9", "-", "A", "\n", "é"} {
				try(s + next)
			}
		}
	}
	try("")
}

var arnTail = `:([a-z0-9][-.a-z0-9]{0,62})?:\d{12}?:[^/\n].{0,1000}.{0,23}\z`

func FuzzARNsAreThoseThatThePatternsMatch(f *testing.F) {
	anyService := regexp.MustCompile(`\Aarn:[a-z0-9][-.a-z0-9]{0,62}:[a-z0-9][-.a-z0-9]{0,62}` + arnTail)
	ours := regexp.MustCompile(`\Aarn:[a-z0-9][-.a-z0-9]{0,62}:vpc-lattice` + arnTail)
	for _, seed := range []string{
		"arn:aws:vpc-lattice:us-west-2:123456789012:service/svc-0123456789abcdef0",
		"arn:aws:rds::123456789012:x",
		"arn:aws:vpc-lattice:us-west-2:12345678901:service/svc-0123456789abcdef0",
		"arn:aws:vpc-lattice:us-west-2:123456789012:/x",
		"arn:aws:vpc-lattice:us-west-2:123456789012:x\n",
		"arn:aws:vpc-lattice:us-west-2:123456789012:é" + strings.Repeat("é", 1023),
		"arn:aws:vpc-lattice:us-west-2:123456789012:é" + strings.Repeat("é", 1024),
		"arn:" + strings.Repeat("a", 63) + ":b:c:123456789012:d",
		"arn:" + strings.Repeat("a", 64) + ":b:c:123456789012:d",
		"arn:.a:b:c:123456789012:d",
		"arn", "", ":::::",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := isARN(s, ""), anyService.MatchString(s); got != want {
			t.Errorf("isARN(%q) of any service = %t, want %t", s, got, want)
		}
		if got, want := isARN(s, "vpc-lattice"), ours.MatchString(s); got != want {
			t.Errorf("isARN(%q) of vpc-lattice = %t, want %t", s, got, want)
		}
	})
}

func TestPatternMatchesTheWholeValueOnly(t *testing.T) {
	tests := []struct {
		name, pattern, value string
		want                 bool
	}{
		{"all of it", `vpc-[0-9]+`, "vpc-1", true},
		{"something behind it", `vpc-[0-9]+`, "vpc-1x", false},
		{"something before it", `vpc-[0-9]+`, "xvpc-1", false},
		{"a line end behind it", `vpc-[0-9]+`, "vpc-1\n", false},
		{"one line of two", `.*(^[0-9-,]+$|(^$)).*`, "200\nx", false},
		{"both ways of an alternative", `a|b`, "ab", false},
		{"an optional whole", `(a)?`, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := expression(test.pattern).match(test.value); got != test.want {
				t.Errorf("%q matches %q: %t, want %t", test.pattern, test.value, got, test.want)
			}
		})
	}
}

func TestOptionalPatternMatchesWhatItsLongFormMatches(t *testing.T) {
	short, long := optional(`[0-9-,]+`), expression(`.*(^[0-9-,]+$|(^$)).*`)
	for _, s := range []string{"", "200", "200-299", "200,201", "2xx", " ", "\n", "200\n", "\n200", "a\n200\nb", "\n\n"} {
		if short.match(s) != long.match(s) {
			t.Errorf("%q: short form %t, long form %t", s, short.match(s), long.match(s))
		}
	}
}

func BenchmarkPattern(b *testing.B) {
	for name, p := range map[string]*pattern{"optional": optional(`[0-9-,]+`), "as it stands": expression(`.*(^[0-9-,]+$|(^$)).*`)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p.match("200,201,300-399")
			}
		})
	}
}
