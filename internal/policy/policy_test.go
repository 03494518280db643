package policy

import (
	"strings"
	"testing"
)

func TestWhatIsWrongWithAPolicyIsNamed(t *testing.T) {
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
		{"number", `{"Statement":{"Effect":"Allow","Action":"*","Condition":{"NumericEquals":{"k":"v"}}}}`, "needs a number"},
		{"address", `{"Statement":{"Effect":"Allow","Action":"*","Condition":{"IpAddress":{"k":"10/8"}}}}`, "needs an address"},
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

func TestRequirementsOfAuthPolicies(t *testing.T) {
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

func TestEvaluation(t *testing.T) {
	keys := map[string][]string{
		"aws:SourceIp":                 {"10.1.2.3"},
		"vpc-lattice-svcs:Port":        {"443"},
		"vpc-lattice-svcs:RequestPath": {"/a"},
		"aws:CurrentTime":              {"2026-06-01T00:00:00Z"},
		"list":                         {"a", "b"},
		"aws:PrincipalTag/team":        {"blue"},
		"aws:PrincipalTag/star":        {"*"},
		"aws:PrincipalTag/name":        {"Zürich"},
		// What a client sends may look like a variable.
		"vpc-lattice-svcs:RequestHeader/x": {"${none}"},
		"vpc-lattice-svcs:RequestHeader/y": {"${none"},
		"vpc-lattice-svcs:SourceVpcArn":    {"arn:aws:ec2:us-west-2:111122223333:vpc/vpc-1"},
	}
	request := Request{
		Principal: "arn:aws:sts::111122223333:assumed-role/app/web/session", Account: "111122223333",
		Action: "vpc-lattice-svcs:Invoke", Resource: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1/rates",
		Key: func(name string) ([]string, bool) { v, ok := keys[name]; return v, ok },
	}
	condition := func(c string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":` + c + `}}`
	}
	principal := func(p string) string {
		return `{"Statement":{"Effect":"Allow",` + p + `,"Action":"*","Resource":"*"}}`
	}
	for _, tc := range []struct {
		name, text string
		want       Outcome
	}{
		{"allow", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:invoke","Resource":"*/rates"}}`, Allowed},
		{"nothing applies", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Connect","Resource":"*"}}`, ImplicitDeny},
		{"deny wins in any order", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*/rates"}]}`, ExplicitDeny},
		{"not action", `{"Statement":{"Effect":"Allow","Principal":"*","NotAction":"vpc-lattice-svcs:Connect","Resource":"*"}}`, Allowed},
		{"not resource", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"*/rates"}}`, ImplicitDeny},
		{"resource is case-sensitive", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*/Rates"}}`, ImplicitDeny},
		{"the service without a path", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1"}}`, ImplicitDeny},
		{"account", principal(`"Principal":{"AWS":"111122223333"}`), Allowed},
		{"account root", principal(`"Principal":{"AWS":"arn:aws:iam::111122223333:root"}`), Allowed},
		{"role of the session", principal(`"Principal":{"AWS":"arn:aws:iam::111122223333:role/app/web"}`), Allowed},
		{"another account", principal(`"Principal":{"AWS":"444455556666"}`), ImplicitDeny},
		{"not principal", principal(`"NotPrincipal":{"AWS":"111122223333"}`), ImplicitDeny},
		{"service principals never match", principal(`"Principal":{"Service":"ec2.amazonaws.com"}`), ImplicitDeny},
		{"address", condition(`{"IpAddress":{"aws:SourceIp":["192.168.0.0/16","10.0.0.0/8"]}}`), Allowed},
		{"not address", condition(`{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), ImplicitDeny},
		{"number without quotes", condition(`{"NumericEquals":{"vpc-lattice-svcs:Port":443}}`), Allowed},
		{"number range", condition(`{"NumericLessThan":{"vpc-lattice-svcs:Port":"443"}}`), ImplicitDeny},
		{"like", condition(`{"StringLike":{"vpc-lattice-svcs:RequestPath":"/?"}}`), Allowed},
		{"a question mark is a character, of however many bytes", condition(`{"StringLike":{"aws:PrincipalTag/name":"Z?rich"}}`), Allowed},
		{"two are two", condition(`{"StringLike":{"aws:PrincipalTag/name":"*Z??rich"}}`), ImplicitDeny},
		{"not equals", condition(`{"StringNotEquals":{"vpc-lattice-svcs:RequestPath":["/a","/b"]}}`), ImplicitDeny},
		{"absent key fails", condition(`{"StringEquals":{"none":"x"}}`), ImplicitDeny},
		{"absent key holds when negated", condition(`{"StringNotEquals":{"none":"x"}}`), Allowed},
		{"absent key holds with IfExists", condition(`{"StringEqualsIfExists":{"none":"x"}}`), Allowed},
		{"null", condition(`{"Null":{"none":"true"}}`), Allowed},
		{"not null", condition(`{"Null":{"none":false}}`), ImplicitDeny},
		{"any value", condition(`{"ForAnyValue:StringEquals":{"list":"b"}}`), Allowed},
		{"all values", condition(`{"ForAllValues:StringEquals":{"list":["a"]}}`), ImplicitDeny},
		{"all of nothing", condition(`{"ForAllValues:StringEquals":{"none":["a"]}}`), Allowed},
		{"date", condition(`{"DateGreaterThan":{"aws:CurrentTime":"2026-01-01"}}`), Allowed},
		{"arn", condition(`{"ArnLike":{"vpc-lattice-svcs:SourceVpcArn":"arn:aws:ec2:*:*:vpc/*"}}`), Allowed},
		{"no star of an arn reaches over a colon", condition(`{"ArnLike":{"vpc-lattice-svcs:SourceVpcArn":"arn:aws:*:vpc/vpc-1"}}`), ImplicitDeny},
		{"all conditions must hold", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestPath":"/a","none":"x"}}`), ImplicitDeny},
		{"a variable", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"${aws:PrincipalTag/team}"}}}}`, Allowed},
		{"a variable's star is no wildcard", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"${aws:PrincipalTag/star}"}}`, ImplicitDeny},
		{"a variable's star equals a star", condition(`{"StringEquals":{"aws:PrincipalTag/star":"${*}"}}`), Allowed},
		{"a variable without a value", condition(`{"StringLike":{"vpc-lattice-svcs:RequestPath":"${none}"}}`), ImplicitDeny},
		{"a variable without a value is not even its own text", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestHeader/x":"${none}"}}`), ImplicitDeny},
		{"a resource with a variable without a value", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":["${none}*","*${none}"]}}`, ImplicitDeny},
		{"one value of several has a variable without a value", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestPath":["${none}","/a"]}}`), Allowed},
		{"a variable without a value differs from everything", condition(`{"StringNotEquals":{"vpc-lattice-svcs:RequestPath":"${none}"}}`), Allowed},
		{"a variable that is not closed", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestHeader/y":"${none"}}`), Allowed},
		{"a variable without a version is text", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"${aws:PrincipalTag/team}"}}}}`, ImplicitDeny},
		{"a variable in the old version is text", `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestHeader/x":"${none}"}}}}`, Allowed},
		{"a variable's default", condition(`{"StringLike":{"vpc-lattice-svcs:RequestPath":"${none, '/a'}"}}`), Allowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := d.Evaluate(request); got.Outcome != tc.want {
				t.Errorf("the decision is %+v, want outcome %d", got, tc.want)
			}
		})
	}
}

func FuzzParseAndEvaluate(f *testing.F) {
	f.Add(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"${a, 'b'}","Condition":{"ForAnyValue:StringLike":{"k":["*a*"]}}}]}`)
	f.Add(`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["1"]},"NotAction":["a?*"],"NotResource":"x"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		d.Evaluate(Request{Principal: "arn:aws:iam::1:user/u", Account: "1", Action: "a:b", Resource: "arn:x",
			Key: func(string) ([]string, bool) { return []string{"v"}, true }})
	})
}
