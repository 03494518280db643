package lattice

import (
	"strings"
	"testing"
)

func TestRegionsHaveAWSsForm(t *testing.T) {
	for _, region := range []string{
		"us-west-2", "ap-southeast-4", "mx-central-1", "il-central-1", "cn-northwest-1", "us-gov-east-1",
		"us-iso-west-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1", "eusc-de-east-1",
	} {
		if !ValidRegion(region) {
			t.Errorf("%s is refused", region)
		}
	}
	for _, region := range []string{
		"", "local", "us-west", "aws-global", "US-WEST-2", "us-west-2a", "us-west-2\n", " us-west-2", "us-west-2;AccountId=1",
		"us-west-\xff", "us-wést-2", "us/west/2", "us-west-123", "us-" + strings.Repeat("x", 40) + "-1", "us--west-2", "1us-west-2",
	} {
		if ValidRegion(region) {
			t.Errorf("%q is accepted", region)
		}
	}
}

func TestAccountsAreTwelveDigits(t *testing.T) {
	for account, want := range map[string]bool{
		"000000000000": true, "": false, "12345678901": false, "1234567890123": false, "12345678901a": false, "١٢٣٤٥٦": false,
	} {
		if got := ValidAccount(account); got != want {
			t.Errorf("%q is an account: %t, want %t", account, got, want)
		}
	}
}
