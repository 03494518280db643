package policy

import (
	"net/netip"
	"testing"
	"time"
)

// tenStatements is a policy such as a shop might have: the last statement allows the request of traffic.
const tenStatements = `{"Version":"2012-10-17","Statement":[
 {"Sid":"1","Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","172.16.0.0/12"]}}},
 {"Sid":"2","Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestMethod":["DELETE","TRACE"]}}},
 {"Sid":"3","Effect":"Deny","Principal":"*","Action":"*","Resource":"*/admin/*","Condition":{"StringEquals":{"aws:PrincipalType":"Anonymous"}}},
 {"Sid":"4","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/orders"},"Action":"vpc-lattice-svcs:Invoke","Resource":"*"},
 {"Sid":"5","Effect":"Allow","Principal":{"AWS":["444455556666","777788889999"]},"Action":"vpc-lattice-svcs:Invoke","Resource":"arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0/partners/*"},
 {"Sid":"6","Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestHeader/x-team":"blue"}}},
 {"Sid":"7","Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"ForAnyValue:StringEquals":{"vpc-lattice-svcs:RequestQueryString/token":["a","b"]}}},
 {"Sid":"8","Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2030-01-01T00:00:00Z"}}},
 {"Sid":"9","Effect":"Deny","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*","Condition":{"NumericNotEquals":{"vpc-lattice-svcs:Port":["80","443"]}}},
 {"Sid":"10","Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0/public/*","Condition":{"StringLike":{"vpc-lattice-svcs:RequestPath":"/public/*"},"StringEquals":{"vpc-lattice-svcs:SourceVpc":"vpc-0123456789abcdef0"}}}
]}`

// benchHeaders are the lines of a request in the data plane's form.
type benchHeaders []struct{ name, value []byte }

func (h benchHeaders) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(h); i++ {
		if string(h[i].name) == name {
			return h[i].value, i + 1
		}
	}
	return nil, -1
}

// benchAsked returns the service's policy, and a function that asks it about a request that is made for each call.
func benchAsked(tb testing.TB, policy string, caller Caller) func() Verdict {
	d, err := Parse(policy)
	if err != nil {
		tb.Fatal(err)
	}
	allow, err := Parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	if err != nil {
		tb.Fatal(err)
	}
	access := &Access{Service: Guard{On: true, Policy: d}, Identity: Set{allow}}
	var headers Headers = benchHeaders{
		{[]byte("host"), []byte("svc.example")}, {[]byte("user-agent"), []byte("curl/8.9")}, {[]byte("accept"), []byte("*/*")},
		{[]byte("x-request-id"), []byte("4c1d")}, {[]byte("x-a"), []byte("2026-01-02T15:04:05Z")},
	}
	source := netip.MustParseAddr("10.1.2.3")
	var traffic Traffic
	var memory TrafficMemory
	var request Request
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	return func() Verdict {
		memory.Reset()
		traffic = Traffic{
			Memory: &memory,
			Method: "GET", Path: "/public/a", Query: "page=2&q=%61b+c", Headers: headers, Port: "443",
			ServiceARN: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0", Source: source,
			SourceVpc: "vpc-0123456789abcdef0", SourceVpcOwner: "111122223333", Region: "us-west-2", Secure: true,
		}
		request = Request{Caller: caller, Action: ActionInvoke, Resource: traffic.ServiceARN, Path: traffic.Path, Now: now, Values: &traffic}
		return access.Decide(&request)
	}
}

var benchSession = Caller{
	ARN: "arn:aws:sts::111122223333:assumed-role/web/i-1", RoleARN: "arn:aws:iam::111122223333:role/app/web", Account: "111122223333",
	UserID: "AROAEXAMPLE:i-1", Tags: map[string]string{"team": "blue"},
}

func BenchmarkTenStatementsAnonymous(b *testing.B) {
	ask := benchAsked(b, tenStatements, Caller{})
	b.ReportAllocs()
	for b.Loop() {
		if v := ask(); v.Outcome != Allowed || v.Statement != 9 {
			b.Fatal(v)
		}
	}
}

func BenchmarkTenStatementsSigned(b *testing.B) {
	ask := benchAsked(b, tenStatements, benchSession)
	b.ReportAllocs()
	for b.Loop() {
		if v := ask(); !v.Allowed() {
			b.Fatal(v)
		}
	}
}

// everyOperator uses each comparison, on each kind of key, with values that are and are not of its type.
const everyOperator = `{"Version":"2012-10-17","Statement":[
 {"Effect":"Allow","Principal":"*","Action":"*:Inv?ke","NotResource":"*/${aws:PrincipalTag/team, 'x'}/*","Condition":{
  "StringEquals":{"vpc-lattice-svcs:RequestMethod":["${aws:username}","GET"]},
  "StringEqualsIgnoreCase":{"vpc-lattice-svcs:RequestMethod":"get"},
  "StringLike":{"vpc-lattice-svcs:RequestPath":"/p*l?c/*","aws:UserAgent":"curl/*"},
  "StringNotLike":{"vpc-lattice-svcs:RequestHeader/x-request-id":"*5*"},
  "ForAnyValue:StringEquals":{"vpc-lattice-svcs:RequestQueryString/q":"ab c"},
  "ForAllValues:StringNotEquals":{"vpc-lattice-svcs:RequestQueryString/page":"1"},
  "NumericLessThan":{"vpc-lattice-svcs:Port":"444.5"},
  "NumericNotEquals":{"vpc-lattice-svcs:RequestHeader/x-request-id":"1"},
  "DateLessThan":{"aws:CurrentTime":"2030-01-01","vpc-lattice-svcs:RequestHeader/x-a":"2030-01-01"},
  "DateNotEquals":{"aws:EpochTime":"2030-01-01","vpc-lattice-svcs:RequestMethod":"2030-01-01"},
  "StringNotEquals":{"aws:CurrentTime":"x","aws:EpochTime":"y","aws:ResourceAccount":"1","aws:PrincipalArn":"z","aws:userid":"${aws:CurrentTime}"},
  "Bool":{"aws:SecureTransport":"true"},
  "BinaryEquals":{"vpc-lattice-svcs:RequestMethod":"R0VU"},
  "IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]},
  "NotIpAddress":{"vpc-lattice-svcs:RequestMethod":"10.0.0.0/8"},
  "ArnLike":{"vpc-lattice-svcs:ServiceArn":"arn:*:vpc-lattice:*:1111*:service/*"},
  "ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/x"},
  "Null":{"aws:SourceVpce":"true"}}}]}`

func TestEvaluatingAllocatesNothing(t *testing.T) {
	for name, ask := range map[string]func() Verdict{
		"ten statements, anonymous": benchAsked(t, tenStatements, Caller{}),
		"ten statements, a session": benchAsked(t, tenStatements, benchSession),
		"every operator, anonymous": benchAsked(t, everyOperator, Caller{}),
		"every operator, a session": benchAsked(t, everyOperator, benchSession),
		"denied":                    benchAsked(t, `{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`, benchSession),
	} {
		if name != "denied" {
			if v := ask(); !v.Allowed() {
				t.Errorf("%s: %+v", name, v)
			}
		}
		if n := testing.AllocsPerRun(100, func() { ask() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
