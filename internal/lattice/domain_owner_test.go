package lattice

import (
	"slices"
	"testing"
)

func TestNameLiesInItsDomains(t *testing.T) {
	for name, want := range map[string][]string{
		"shop.example.com": {"shop.example.com", "example.com", "com"},
		"localhost":        {"localhost"},
		"":                 nil,
	} {
		if got := slices.Collect(domains(name)); !slices.Equal(got, want) {
			t.Errorf("%q lies in %q, want %q", name, got, want)
		}
	}
}

func TestLongestVerifiedDomainCounts(t *testing.T) {
	verifiers := map[string][]string{"example.com": {"1"}, "shop.example.com": {"2", "3"}}
	for name, want := range map[string]string{
		"example.com":           "example.com 1",
		"www.example.com":       "example.com 1",
		"shop.example.com":      "shop.example.com 2 3",
		"blue.shop.example.com": "shop.example.com 2 3",
		"eshop.example.com":     "example.com 1",
		"notexample.com":        "",
	} {
		domain, accounts := VerifiedBy(name, func(domain string) []string { return verifiers[domain] })
		for _, account := range accounts {
			domain += " " + account
		}
		if domain != want {
			t.Errorf("%s is covered by %q, want %q", name, domain, want)
		}
	}
}

func TestDomainNameBelongsToTheAccountThatVerifiedItOrCameFirst(t *testing.T) {
	for _, test := range []struct {
		name                string
		claimants, verified []string
		want                string
	}{
		{"nobody has it", nil, nil, ""},
		{"nobody has it, though verified", nil, []string{"1"}, ""},
		{"the first", []string{"1", "2"}, nil, "1"},
		{"the verified one", []string{"1", "2"}, []string{"2"}, "2"},
		{"the first of the verified ones", []string{"1", "2", "3"}, []string{"3", "2"}, "2"},
		{"the first, as long as who verified it does not claim it", []string{"1", "2"}, []string{"3"}, "1"},
	} {
		if got := DomainNameOwner(test.claimants, test.verified); got != test.want {
			t.Errorf("%s: it belongs to %q, want %q", test.name, got, test.want)
		}
	}
}
