package internal_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// refusedWord is a word that is no English of the trade here, or a second word for something that has one, with what to
// write instead. ARCHITECTURE.md has the glossary.
type refusedWord struct {
	pattern *regexp.Regexp
	instead string
}

func refuse(pattern, instead string) refusedWord {
	return refusedWord{regexp.MustCompile(pattern), instead}
}

// Within identifiers, a word begins with a capital letter or at the beginning.
var refusedWords = []refusedWord{
	// Metaphors.
	refuse(`(?i:\bnaps?\b)|[a-z]Nap\b`, "park, pause or sleep"),
	refuse(`(?i:\bdoors?\b|\bdoorkeeper)|Door`, "port, listener or gate"),
	refuse(`(?i:\binsist)|Insist`, "require"),
	refuse(`(?i:\bspoil)|Spoil`, "damage, break or fail"),
	refuse(`(?i:\blast ?words)`, "the final response, the alert or the close"),
	refuse(`(?i:\blast ?hour)|LastHour`, "the maximum duration"),
	refuse(`(?i:\bdoubt)|Doubt`, "undecided or unknown"),
	refuse(`(?i:\bfate\b)|Fate`, "outcome or result"),
	refuse(`(?i:\bpatien(t|ce))|Patien(t|ce)`, "timeout or limit"),
	refuse(`(?i:\bthie(f|ves)\b)|Thief`, "the other service"),
	refuse(`(?i:\briddle)`, "hard to follow"),
	refuse(`(?i:\bin good order\b)|InGoodOrder`, "cleanly"),
	refuse(`(?i:\b(goes|go|going) round\b|\bin a circle\b)|GoesRound|InACircle`, "loops"),
	// Translations.
	refuse(`(?i:\b(says|tells) whether\b)`, "reports whether"),
	refuse(`(?i:\btells that\b)`, "says that"),
	refuse(`(?i:\bis none of (it|them|its|ours|theirs|a)\b|\bis none of %)`, "is not one of them, is not part of it"),
	refuse(`(?i:\bbe it (that|a|an|the)\b)`, "whether"),
	refuse(`(?i:\bof another nature\b)|OfAnotherNature`, "of another type"),
	refuse(`(?i:\banew\b)|Anew`, "again, or new"),
	refuse(`(?i:\bfor ever\b)`, "forever, endlessly, or without a limit"),
	refuse(`(?i:\b(thereof|therein|hereby|whereby|wherein|whereof|lest)\b)`, "a sentence of its own"),
	refuse(`(?i:\bis to be (called|made|sent|given|taken|done|put|read|kept|carried|recorded|probed|parked)\b)`, "must be, or is"),
	refuse(`(?i:\b(what|that|which) (is|are) none\b)`, "is not one"),
	refuse(`(?i:\bbut for (the|its|their|those)\b)`, "except for"),
	refuse(`(?i:\bas told\b|\bas long as it says\b)`, "as specified"),
	// Words of the glossary with another meaning.
	refuse(`(?i:\bclaim(s|ed|ing)? (to|that)\b)`, "say; a claim is what at most one record may hold"),
	refuse(`(?i:\bexchang(ed|ing)\b)|ExchangeLine`, "send and receive; an exchange is a request and its response"),
	refuse(`^\s*// \w+ records (an?|the|that|what|which|who|how|whether|when)\b`, "notes, counts or measures; a record is what is stored"),
	refuse(`(?i:\btarget(ed|ing)\b|\blink targets?\b)|EndpointTarget`, "aim, name or lead to; a target is a member of a target group"),
	// Second words for what the glossary names.
	refuse(`(?i:\b(interim|final|early|malformed|http) answers?\b)`, "response; \"answer\" is the verb, and what DNS, policies and probes ask for"),
}

func TestWordsAreThoseOfTheGlossary(t *testing.T) {
	check := func(path, text string) {
		for i, line := range strings.Split(text, "\n") {
			for _, word := range refusedWords {
				if found := word.pattern.FindString(line); found != "" {
					t.Errorf("%s:%d: %q; write: %s", path, i+1, found, word.instead)
				}
			}
		}
	}
	for _, f := range readSourceTree(t).files {
		if f.path != "internal/words_test.go" && !f.isGenerated() && !strings.Contains(f.path, "/testdata/") {
			check(f.path, f.text)
		}
	}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../bench/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			path := strings.TrimPrefix(filepath.ToSlash(page), "../")
			if path != "docs/coverage.md" { // It is generated.
				check(path, readProjectFile(t, path))
			}
		}
	}
}
