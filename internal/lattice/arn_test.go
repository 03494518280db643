package lattice

import "testing"

func TestIdentifiersOfAnyFormNameOneARN(t *testing.T) {
	scope := Scope{Account: "111122223333", Region: "us-west-2"}
	for identifier, want := range map[string]string{
		"svc-0123456789abcdef0":  "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0",
		"sn-0123456789abcdef0":   "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0",
		"snsa-0123456789abcdef0": "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetworkserviceassociation/snsa-0123456789abcdef0",
		"rcfg-0123456789abcdef0": "arn:aws:vpc-lattice:us-west-2:111122223333:resourceconfiguration/rcfg-0123456789abcdef0",
		"arn:aws:vpc-lattice:eu-west-1:444455556666:targetgroup/tg-1":              "arn:aws:vpc-lattice:eu-west-1:444455556666:targetgroup/tg-1",
		"arn:aws-us-gov:vpc-lattice:us-west-2:111122223333:service/svc-1/listener": "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1/listener",
		"other-1": "arn:aws:vpc-lattice:us-west-2:111122223333:other-1",
	} {
		if got := IdentifiedARN(scope, identifier); got != want {
			t.Errorf("%s names %s, want %s", identifier, got, want)
		}
	}
}
