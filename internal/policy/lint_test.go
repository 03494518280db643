package policy

import (
	"strings"
	"testing"
)

func TestLintWarnsOfSurprises(t *testing.T) {
	const service = "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1"
	statement := func(members string) string { return `{"Version":"2012-10-17","Statement":{` + members + `}}` }
	condition := func(c string) string {
		return statement(`"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":` + c)
	}
	deny := func(members string) string {
		return statement(`"Effect":"Deny","Action":"vpc-lattice-svcs:Invoke",` + members)
	}
	for _, tc := range []struct{ name, text, want string }{
		{"nothing", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestMethod":"GET"}}`), ""},
		{"a service with all of its paths", deny(`"Principal":"*","Resource":"` + service + `/*"`), ""},
		{"everybody", statement(`"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"`), "Statement[0].Principal is * and there is no Condition"},
		{"everybody is denied", deny(`"Principal":"*","Resource":"*"`), ""},
		{"no path", deny(`"Principal":"*","Resource":"` + service + `"`), "a service without a path, which no request (vpc-lattice-svcs:Invoke) has: write " + service + "/*"},
		{"no path for a connection", statement(`"Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Connect","Resource":"` + service + `"`), ""},
		{"a path for a connection", statement(`"Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Connect","Resource":"` + service + `/*"`), "a service with a path, which no connection"},
		{"a query", deny(`"Principal":"*","Resource":"` + service + `/a?b=c"`), "the query is no part of a resource"},
		{"no service", deny(`"Principal":"*","Resource":"arn:aws:vpc-lattice:us-west-2:111122223333:targetgroup/tg-1"`), "which is no service"},
		{"a Deny of nobody", deny(`"NotPrincipal":"*","Resource":"*"`), "NotPrincipal excepts everybody, so the Deny never applies"},
		{"a Deny of nothing", deny(`"Principal":"*","NotResource":"*"`), "NotResource is *, which leaves nothing, so the Deny never applies"},
		{"a Deny of no action", statement(`"Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Invok","Resource":"*"`), "Action leaves no action: there are vpc-lattice-svcs:Invoke and vpc-lattice-svcs:Connect, so the Deny never applies"},
		{"one of two actions", statement(`"Effect":"Deny","Principal":"*","Action":["vpc-lattice-svcs:Invoke","vpc-lattice-svcs:Put"],"Resource":"*"`), `is "vpc-lattice-svcs:Put", which is no action`},
		{"a Deny by a key that is never there", deny(`"Principal":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}`), "is about aws:SourceVpc, which no request through the network has, so the Deny never applies"},
		{"a negated one", deny(`"Principal":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}`), "the condition always holds"},
		{"a method of a connection", statement(`"Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Connect","Resource":"*","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestMethod":"GET"}}`), "which no connection (vpc-lattice-svcs:Connect) has"},
		{"a principal that is a service", deny(`"Principal":{"Service":"ec2.amazonaws.com"},"Resource":"*"`), "which sign no requests here, so the Deny never applies"},
		{"an exception without the account", deny(`"NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user/a"},"Resource":"*"`), "and not its account"},
		{"an exception of a role", deny(`"NotPrincipal":{"AWS":["arn:aws:iam::111122223333:role/a","111122223333"]},"Resource":"*"`), "none of its sessions"},
		{"an exception that is complete", deny(`"NotPrincipal":{"AWS":["arn:aws:iam::111122223333:user/a","111122223333"]},"Resource":"*"`), ""},
		{"NotPrincipal with Allow", statement(`"Effect":"Allow","NotPrincipal":{"AWS":"111122223333"},"Action":"*","Resource":"*"`), "with Allow lets everybody else in"},
		{"a number without quotes", condition(`{"NumericEquals":{"vpc-lattice-svcs:Port":443}}`), "has 443 without quotes"},
		{"a literal star", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestPath":"/a/*"}}`), "a wildcard is one with StringLike and ArnLike only"},
		{"a method in lower case", condition(`{"StringEquals":{"vpc-lattice-svcs:RequestMethod":"get"}}`), "methods are in upper case"},
		{"a path without its slash", condition(`{"StringLike":{"vpc-lattice-svcs:RequestPath":"a/*"}}`), "paths begin with /"},
		{"a type of principal", condition(`{"StringEquals":{"aws:PrincipalType":"Role"}}`), "it is Account, Anonymous, AssumedRole, FederatedUser or User"},
		{"a session's ARN", condition(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:sts::111122223333:assumed-role/a/*"}}`), "of a session it is the ARN of the role"},
		{"an account that lost its zeros", condition(`{"StringEquals":{"aws:PrincipalAccount":"11112222"}}`), "an account has 12 digits"},
		{"no ARN", condition(`{"ArnEquals":{"vpc-lattice-svcs:ServiceArn":"svc-1"}}`), "an ARN has six parts"},
		{"an address that is an ARN", condition(`{"IpAddress":{"aws:PrincipalArn":"10.0.0.0/8"}}`), "compares aws:PrincipalArn as an address"},
		{"all of nothing", condition(`{"ForAllValues:StringEquals":{"vpc-lattice-svcs:RequestQueryString/a":"b"}}`), `holds too when the request has no vpc-lattice-svcs:RequestQueryString/a: add "Null"`},
		{"all of something", condition(`{"ForAllValues:StringEquals":{"vpc-lattice-svcs:RequestQueryString/a":"b"},"Null":{"vpc-lattice-svcs:RequestQueryString/a":"false"}}`), ""},
		{"a qualifier for one value", condition(`{"ForAnyValue:StringEquals":{"vpc-lattice-svcs:RequestMethod":"GET"}}`), "has a qualifier for several values"},
		{"a variable without a version", `{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*/${aws:username}"}}`, "only policies of the Version 2012-10-17 have variables"},
		{"a policy of a caller", statement(`"Effect":"Allow","Action":"vpc-lattice:*","Resource":"*"`), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			var warnings []string
			for _, w := range d.Lint() {
				warnings = append(warnings, w.String())
			}
			if tc.want == "" && len(warnings) > 0 || !strings.Contains(strings.Join(warnings, "\n"), tc.want) {
				t.Errorf("the warnings are %q, want one with %q", warnings, tc.want)
			}
		})
	}
}
