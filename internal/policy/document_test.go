package policy

import (
	"strings"
	"testing"
)

func TestErrorsNameWhatIsWrongWithAPolicy(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"not JSON", `{`, "is not JSON"},
		{"an array", `[]`, "must be a JSON object"},
		{"something after the end", `{"Statement":[]} x`, "after its end"},
		{"no statement", `{"Version":"2012-10-17"}`, "Statement is missing"},
		{"unknown version", `{"Version":"2020-01-01","Statement":{"Effect":"Allow","Action":"*"}}`, `Version is "2020-01-01"`},
		{"unknown element", `{"Statment":[]}`, "Statment is not an element of a policy"},
		{"unknown statement element", `{"Statement":{"Effect":"Allow","Actions":"*"}}`, "Statement[0].Actions is not an element"},
		{"wrong effect", `{"Statement":{"Effect":"allow","Action":"*"}}`, `Statement[0].Effect is "allow"`},
		{"no effect", `{"Statement":{"Action":"*"}}`, "Statement[0].Effect is missing"},
		{"no action", `{"Statement":{"Effect":"Allow"}}`, "Statement[0].Action is missing"},
		{"both", `{"Statement":{"Effect":"Allow","Action":"*","NotAction":"*"}}`, "both Action and NotAction"},
		{"twice", `{"Statement":{"Effect":"Allow","Effect":"Deny","Action":"*"}}`, "element Effect twice"},
		{"number as action", `{"Statement":{"Effect":"Allow","Action":1}}`, "must be a string or a list"},
		{"empty action", `{"Statement":{"Effect":"Allow","Action":[]}}`, "Statement[0].Action is empty"},
		{"principal text", `{"Statement":{"Effect":"Allow","Action":"*","Principal":"me"}}`, `must be "*"`},
		{"principal type", `{"Statement":{"Effect":"Allow","Action":"*","Principal":{"Aws":"1"}}}`, "Principal.Aws is not a type"},
		{"operator", `{"Statement":{"Effect":"Allow","Action":"*","Condition":{"StringIs":{"k":"v"}}}}`, "Condition.StringIs is not a condition operator"},
		{"number", `{"Statement":{"Effect":"Allow","Action":"*","Condition":{"NumericEquals":{"vpc-lattice-svcs:Port":"v"}}}}`, "needs a number"},
		{"address", `{"Statement":{"Effect":"Allow","Action":"*","Condition":{"IpAddress":{"aws:SourceIp":"10/8"}}}}`, "needs an address"},
		{"sid", `{"Statement":[{"Sid":"a","Effect":"Allow","Action":"*"},{"Sid":"a","Effect":"Allow","Action":"*"}]}`, `Statement[1].Sid "a" is used twice`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse(tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse says %v, want something with %q", err, tc.want)
			}
		})
	}
}

func TestAuthPoliciesMustMeetTheirRequirements(t *testing.T) {
	auth := Requirements{Principal: true, ActionPrefixes: []string{"vpc-lattice-svcs:"}, ResourcePrefix: "arn:aws:vpc-lattice:", Resource: true}
	statement := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` + rest + `}]}`
	}
	for _, tc := range []struct{ name, text, want string }{
		{"complete", statement(`"Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*"`), ""},
		{"wildcards", statement(`"Principal":{"AWS":["111122223333"]},"Action":["vpc-lattice-svcs:*","*"],"Resource":["*/rates","arn:aws:vpc-lattice:us-west-2:1:service/s/*"]`), ""},
		{"no principal", statement(`"Action":"vpc-lattice-svcs:Invoke","Resource":"*"`), "Statement[0].Principal is missing"},
		{"another service's action", statement(`"Principal":"*","Action":"s3:GetObject","Resource":"*"`), `Statement[0].Action is "s3:GetObject"`},
		{"another service's wildcard", statement(`"Principal":"*","Action":"s3:*","Resource":"*"`), `Statement[0].Action is "s3:*"`},
		{"another service's resource", statement(`"Principal":"*","Action":"*","Resource":"arn:aws:s3:::b"`), `Statement[0].Resource is "arn:aws:s3:::b"`},
		{"no resource", statement(`"Principal":"*","Action":"*"`), "Statement[0].Resource is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			err = d.Require(auth)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("Require says %v, want %q", err, tc.want)
			}
		})
	}
}
