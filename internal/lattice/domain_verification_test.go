package lattice

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"trellis/internal/shape"
)

func TestVerificationCoversItsDomainAndWhatIsWithin(t *testing.T) {
	d := &DomainVerification{DomainName: "Example.com"}
	for name, want := range map[string]bool{
		"example.com": true, "EXAMPLE.COM": true, "a.example.com": true, "a.b.Example.com": true,
		"notexample.com": false, "com": false, "example.com.org": false, "": false,
	} {
		if got := d.Covers(name); got != want {
			t.Errorf("%q is covered: %t, want %t", name, got, want)
		}
	}
	if IsSubdomain("example.com", "example.com") {
		t.Error("a domain is taken for a subdomain of itself")
	}
}

func TestVerificationIsPendingUntilFoundOrTimedOut(t *testing.T) {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	d := &DomainVerification{Base: Base{CreatedAt: created}}
	for after, want := range map[time.Duration]shape.VerificationStatus{
		0:                       shape.VerificationStatusPending,
		VerificationTimeout - 1: shape.VerificationStatusPending,
		VerificationTimeout:     shape.VerificationStatusVerificationTimedOut,
	} {
		if got := d.Status(created.Add(after)); got != want {
			t.Errorf("after %s it is %s, want %s", after, got, want)
		}
	}
	if !slices.Contains(d.Indexes(), UnverifiedDomains) {
		t.Error("it is not looked for")
	}
	d.VerifiedAt = created
	if got := d.Status(created.Add(2 * VerificationTimeout)); got != shape.VerificationStatusVerified {
		t.Errorf("once found it is %s", got)
	}
	if slices.Contains(d.Indexes(), UnverifiedDomains) {
		t.Error("it is still looked for")
	}
}

func TestTXTRecordsAreNeverTheSame(t *testing.T) {
	name, value := NewTXTRecord()
	if !regexp.MustCompile(`^_[a-z2-7]{13}$`).MatchString(name) || !regexp.MustCompile(`^vpc-lattice:[a-z2-7]{13}$`).MatchString(value) {
		t.Errorf("the record is %s, %s", name, value)
	}
	if other, otherValue := NewTXTRecord(); other == name || otherValue == value {
		t.Error("two records are the same")
	}
}
