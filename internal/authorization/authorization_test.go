package authorization

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/lattice"
	"trellis/internal/principal"
	"trellis/internal/shape"
)

const (
	account  = "111122223333"
	region   = "us-west-2"
	keyID    = "AKIDCALLER"
	prefix   = "arn:aws:vpc-lattice:" + region + ":" + account + ":"
	seventy  = "0123456789abcdef0"
	blue     = "tg-" + seventy
	green    = "tg-11111111111111111"
	service  = "svc-" + seventy
	network  = "sn-" + seventy
	twofold  = "svc-22222222222222222" // has tags whose keys differ in case only
	listener = "listener-" + seventy
	rule     = "rule-" + seventy
)

// stored is what the catalog has: a service and a network with tags, and associations of them.
type stored map[string]lattice.Resource

func (s stored) Resource(key lattice.Key) (lattice.Resource, bool) {
	r, ok := s[key.String()]
	return r, ok
}

func resources() stored {
	scope := lattice.Scope{Account: account, Region: region}
	s := stored{}
	for _, r := range []lattice.Resource{
		&lattice.Service{Base: lattice.Base{ID: service, Scope: scope, Tags: map[string]string{"team": "blue", "Env": "prod"}}},
		&lattice.Service{Base: lattice.Base{ID: twofold, Scope: scope, Tags: map[string]string{"team": "blue", "Team": "red"}}},
		&lattice.ServiceNetwork{Base: lattice.Base{ID: network, Scope: scope, Tags: map[string]string{"team": "green"}}},
		&lattice.ServiceNetworkServiceAssociation{Base: lattice.Base{ID: "snsa-" + seventy, Scope: scope}, ServiceID: service, ServiceNetworkID: network},
		&lattice.ServiceNetworkVpcAssociation{Base: lattice.Base{ID: "snva-" + seventy, Scope: scope}, ServiceNetworkID: network, VpcID: "vpc-" + seventy},
		&lattice.ServiceNetworkResourceAssociation{Base: lattice.Base{ID: "snra-" + seventy, Scope: scope}, ServiceNetworkID: network, ResourceConfigurationID: "rcfg-" + seventy},
		&lattice.ResourceEndpointAssociation{Base: lattice.Base{ID: "rea-" + seventy, Scope: scope}, ResourceConfigurationID: "rcfg-" + seventy, VpcEndpointID: "vpce-" + seventy},
		&lattice.ResourceGateway{Base: lattice.Base{ID: "rgw-" + seventy, Scope: scope}, VpcID: "vpc-" + seventy, SecurityGroupIDs: []string{"sg-" + seventy}},
		&lattice.TargetGroup{Base: lattice.Base{ID: blue, Scope: scope}, Config: &shape.TargetGroupConfig{VpcIdentifier: new("vpc-" + seventy)}},
	} {
		s[r.Key().String()] = r
	}
	return s
}

// authenticated is an Authenticator that knows one caller.
type authenticated struct{ arn string }

func (a authenticated) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: account, Region: region, Principal: a.arn, AccessKeyID: keyID, UserID: "AIDAEXAMPLE"}, nil
}

// call sends a request as the caller with a policy, and returns the status and the message of the response.
func call(t *testing.T, statement, request, body string) (int, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	text := "[alice]\naws_access_key_id = " + keyID + "\naws_secret_access_key = s\ntrellis_account = " + account +
		"\ntrellis_tags = team=blue\ntrellis_policy = {\"Version\":\"2012-10-17\",\"Statement\":" + statement + "}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials, err := principal.OpenCredentials(path, account, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := api.NewHandler(api.Config{
		Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { return nil }),
		Authenticator: authenticated{"arn:aws:iam::" + account + ":user/staff/alice"},
		Authorizer: New(Config{Principals: credentials, Resources: resources(), Now: func() time.Time {
			return time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		}}),
	})
	method, target, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.RemoteAddr = "10.1.2.3:4567"
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, r)
	var answer struct{ Message string }
	if recorder.Body.Len() > 0 {
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
	}
	return recorder.Code, answer.Message
}

// allow returns a statement that allows an action, with the rest of it as JSON members.
func allow(action, resource string, condition ...string) string {
	s := `{"Effect":"Allow","Action":"vpc-lattice:` + action + `","Resource":"` + resource + `"`
	if len(condition) > 0 {
		s += `,"Condition":{` + strings.Join(condition, ",") + `}`
	}
	return s + `}`
}

func TestRefusalsHaveAWSsWords(t *testing.T) {
	const body = `{"name":"web","type":"LAMBDA"}`
	if status, message := call(t, allow("GetTargetGroup", "*"), "POST /targetgroups", body); status != 403 ||
		message != "User: arn:aws:iam::111122223333:user/staff/alice is not authorized to perform: vpc-lattice:CreateTargetGroup on resource: "+prefix+"targetgroup/* because no identity-based policy allows the vpc-lattice:CreateTargetGroup action" {
		t.Errorf("%d %s", status, message)
	}
	deny := `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"vpc-lattice:Create*","Resource":"*"}]`
	if status, message := call(t, deny, "POST /targetgroups", body); status != 403 ||
		message != "User: arn:aws:iam::111122223333:user/staff/alice is not authorized to perform: vpc-lattice:CreateTargetGroup on resource: "+prefix+"targetgroup/* with an explicit deny in an identity-based policy" {
		t.Errorf("%d %s", status, message)
	}
}

func TestPoliciesDecideByActionResourceAndConditions(t *testing.T) {
	const (
		getService  = "GET /services/" + service
		rules       = "/services/" + service + "/listeners/" + listener + "/rules"
		forwardBlue = `{"forward":{"targetGroups":[{"targetGroupIdentifier":"` + blue + `"}]}}`
		forwardBoth = `{"forward":{"targetGroups":[{"targetGroupIdentifier":"` + blue + `"},{"targetGroupIdentifier":"` + green + `"}]}}`
		associate   = `{"serviceIdentifier":"` + service + `","serviceNetworkIdentifier":"` + network + `"}`
		is          = `"StringEquals":`
	)
	for _, tc := range []struct {
		name, statement, request, body string
		allowed                        bool
	}{
		{"the service", allow("GetService", prefix+"service/"+service), getService, "", true},
		{"the service by its ARN", allow("GetService", prefix+"service/"+service), "GET /services/arn%3Aaws%3Avpc-lattice%3A" + region + "%3A" + account + "%3Aservice%2F" + service, "", true},
		{"another service", allow("GetService", prefix+"service/svc-1*"), getService, "", false},
		{"all services", allow("Get*", prefix+"service/*"), getService, "", true},
		{"a deny is not evaded with another partition's ARN", `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"vpc-lattice:GetService","Resource":"` + prefix + `service/` + service + `"}]`,
			"GET /services/arn%3Aaws-cn%3Avpc-lattice%3A" + region + "%3A" + account + "%3Aservice%2F" + service, "", false},
		{"a deny is not evaded when tagging with another partition's ARN", `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"vpc-lattice:TagResource","Resource":"` + prefix + `service/` + service + `"}]`,
			"POST /tags/arn%3Aaws-cn%3Avpc-lattice%3A" + region + "%3A" + account + "%3Aservice%2F" + service, `{"tags":{"a":"b"}}`, false},
		{"a nested resource", allow("GetRule", prefix+"service/"+service+"/listener/"+listener+"/rule/"+rule), "GET " + rules + "/" + rule, "", true},
		{"what is below a service", allow("CreateRule", prefix+"service/"+service+"/*"), "POST " + rules, `{"name":"abc","priority":1,"match":{"httpMatch":{"method":"GET"}},"action":` + forwardBlue + `}`, true},
		{"what is below another service", allow("CreateRule", prefix+"service/svc-1*"), "POST " + rules, `{"name":"abc","priority":1,"match":{"httpMatch":{"method":"GET"}},"action":` + forwardBlue + `}`, false},
		{"a list", allow("ListServices", prefix+"service/*"), "GET /services", "", true},
		{"a list for one service", allow("ListServices", prefix+"service/"+service), "GET /services", "", false},
		{"an auth policy by the service's id", allow("GetAuthPolicy", prefix+"service/*"), "GET /authpolicy/" + service, "", true},
		{"an auth policy by the network's id", allow("GetAuthPolicy", prefix+"service/*"), "GET /authpolicy/" + network, "", false},
		{"targets", allow("RegisterTargets", prefix+"targetgroup/"+blue), "POST /targetgroups/" + blue + "/registertargets", `{"targets":[{"id":"10.0.0.1"}]}`, true},

		{"an association needs all three", allow("CreateServiceNetworkServiceAssociation", prefix+"servicenetworkserviceassociation/*"), "POST /servicenetworkserviceassociations", associate, false},
		{"an association has all three", `{"Effect":"Allow","Action":"vpc-lattice:CreateServiceNetworkServiceAssociation","Resource":["` + prefix + `servicenetworkserviceassociation/*","` + prefix + `service/` + service + `","` + prefix + `servicenetwork/` + network + `"]}`,
			"POST /servicenetworkserviceassociations", associate, true},
		{"an association by its service", allow("CreateServiceNetworkServiceAssociation", "*", `"ArnEquals":{"vpc-lattice:ServiceArn":"`+prefix+`service/`+service+`"}`), "POST /servicenetworkserviceassociations", associate, true},
		{"an association by another network", allow("CreateServiceNetworkServiceAssociation", "*", `"ArnEquals":{"vpc-lattice:ServiceNetworkArn":"`+prefix+`servicenetwork/sn-1*"}`), "POST /servicenetworkserviceassociations", associate, false},
		{"a stored association by its network", allow("DeleteServiceNetworkServiceAssociation", "*", `"ArnEquals":{"vpc-lattice:ServiceNetworkArn":"`+prefix+`servicenetwork/`+network+`"}`), "DELETE /servicenetworkserviceassociations/snsa-" + seventy, "", true},
		{"a stored association by its VPC", allow("DeleteServiceNetworkVpcAssociation", "*", is+`{"vpc-lattice:VpcId":"vpc-`+seventy+`"}`), "DELETE /servicenetworkvpcassociations/snva-" + seventy, "", true},
		{"a stored resource association by its configuration", allow("GetServiceNetworkResourceAssociation", "*", `"ArnEquals":{"vpc-lattice:ResourceConfigurationArn":"`+prefix+`resourceconfiguration/rcfg-`+seventy+`"}`), "GET /servicenetworkresourceassociations/snra-" + seventy, "", true},
		{"a stored endpoint association by its endpoint", allow("DeleteResourceEndpointAssociation", "*", is+`{"vpc-lattice:VpcEndpointId":"vpce-`+seventy+`"}`), "DELETE /resourceendpointassociations/rea-" + seventy, "", true},
		{"a stored gateway by its VPC", allow("GetResourceGateway", "*", is+`{"vpc-lattice:VpcId":"vpc-1"}`), "GET /resourcegateways/rgw-" + seventy, "", false},
		{"a deny is not evaded with an ARN that has more in it", `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"*","Resource":"` + prefix + `servicenetwork/` + network + `"}]`,
			"POST /servicenetworkvpcassociations", `{"vpcIdentifier":"vpc-` + seventy + `","serviceNetworkIdentifier":"` + prefix + `service/x/servicenetwork/` + network + `"}`, false},
		{"a stored target group by another VPC", allow("DeleteTargetGroup", "*", is+`{"vpc-lattice:VpcId":"vpc-1"}`), "DELETE /targetgroups/" + blue, "", false},

		{"target groups", allow("UpdateRule", "*", `"ForAllValues:ArnEquals":{"vpc-lattice:TargetGroupArns":"`+prefix+`targetgroup/`+blue+`"}`), "PATCH " + rules + "/" + rule, `{"action":` + forwardBlue + `}`, true},
		{"one target group too many", allow("UpdateRule", "*", `"ForAllValues:ArnEquals":{"vpc-lattice:TargetGroupArns":"`+prefix+`targetgroup/`+blue+`"}`), "PATCH " + rules + "/" + rule, `{"action":` + forwardBoth + `}`, false},
		{"a batch needs UpdateRule", allow("UpdateRule", prefix+"service/"+service+"/listener/"+listener+"/rule/"+rule), "PATCH " + rules, `{"rules":[{"ruleIdentifier":"` + rule + `","priority":2}]}`, true},
		{"a batch needs it for each rule", allow("UpdateRule", prefix+"service/"+service+"/listener/"+listener+"/rule/"+rule), "PATCH " + rules, `{"rules":[{"ruleIdentifier":"` + rule + `","priority":2},{"ruleIdentifier":"rule-11111111111111111","priority":3}]}`, false},
		{"a batch needs it for each action", allow("UpdateRule", "*", `"ForAllValues:ArnEquals":{"vpc-lattice:TargetGroupArns":"`+prefix+`targetgroup/`+blue+`"}`), "PATCH " + rules, `{"rules":[{"ruleIdentifier":"` + rule + `","action":` + forwardBlue + `},{"ruleIdentifier":"rule-11111111111111111","action":` + forwardBoth + `}]}`, false},

		{"the auth type", allow("CreateService", "*", is+`{"vpc-lattice:AuthType":"AWS_IAM"}`), "POST /services", `{"name":"web","authType":"AWS_IAM"}`, true},
		{"another auth type", allow("CreateService", "*", is+`{"vpc-lattice:AuthType":"AWS_IAM"}`), "POST /services", `{"name":"web","authType":"NONE"}`, false},
		{"no auth type", allow("CreateService", "*", is+`{"vpc-lattice:AuthType":"AWS_IAM"}`), "POST /services", `{"name":"web"}`, false},
		{"the protocol", allow("CreateListener", "*", is+`{"vpc-lattice:protocol":"HTTPS"}`), "POST /services/" + service + "/listeners", `{"name":"web","protocol":"HTTPS","defaultAction":` + forwardBlue + `}`, true},
		{"the VPC", allow("CreateTargetGroup", "*", is+`{"vpc-lattice:VpcId":"vpc-`+seventy+`"}`), "POST /targetgroups", `{"name":"web","type":"IP","config":{"vpcIdentifier":"vpc-` + seventy + `"}}`, true},
		{"security groups", allow("CreateServiceNetworkVpcAssociation", "*", `"ForAnyValue:StringEquals":{"vpc-lattice:SecurityGroupIds":"sg-`+seventy+`"}`), "POST /servicenetworkvpcassociations",
			`{"serviceNetworkIdentifier":"` + network + `","vpcIdentifier":"vpc-` + seventy + `","securityGroupIds":["sg-11111111","sg-` + seventy + `"]}`, true},

		{"a tag of the resource", allow("GetService", "*", is+`{"aws:ResourceTag/team":"blue"}`), getService, "", true},
		{"a tag of the resource, its key in another case", allow("GetService", "*", is+`{"aws:resourcetag/ENV":"prod"}`), getService, "", true},
		{"a tag that the resource does not have", allow("GetService", "*", is+`{"aws:ResourceTag/owner":"me"}`), getService, "", false},
		{"a tag of what does not exist", allow("GetService", "*", is+`{"aws:ResourceTag/team":"blue"}`), "GET /services/svc-11111111111111111", "", false},
		{"the caller's tag equals the resource's", allow("GetService", "*", is+`{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}`), getService, "", true},
		{"the caller's tag differs from the resource's", allow("GetServiceNetwork", "*", is+`{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}`), "GET /servicenetworks/" + network, "", false},
		{"a tag of the request", allow("CreateService", "*", is+`{"aws:RequestTag/team":"blue"}`), "POST /services", `{"name":"web","tags":{"team":"blue"}}`, true},
		{"no tag in the request", allow("CreateService", "*", is+`{"aws:RequestTag/team":"blue"}`), "POST /services", `{"name":"web"}`, false},
		{"keys of tags", allow("TagResource", "*", `"ForAllValues:StringEquals":{"aws:TagKeys":["team","env"]}`), "POST /tags/" + strings.ReplaceAll(prefix, ":", "%3A") + "service%2F" + service, `{"tags":{"team":"blue"}}`, true},
		{"another key of a tag", allow("TagResource", "*", `"ForAllValues:StringEquals":{"aws:TagKeys":["team","env"]}`), "POST /tags/" + strings.ReplaceAll(prefix, ":", "%3A") + "service%2F" + service, `{"tags":{"team":"blue","x":""}}`, false},
		{"another key of a tag to remove", allow("UntagResource", "*", `"ForAllValues:StringEquals":{"aws:TagKeys":["team","env"]}`), "DELETE /tags/" + strings.ReplaceAll(prefix, ":", "%3A") + "service%2F" + service + "?tagKeys=x", "", false},

		{"who", allow("GetService", "*", `"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::*:user/staff/*"}`, is+`{"aws:PrincipalAccount":"111122223333","aws:username":"alice","aws:userid":"AIDAEXAMPLE","aws:PrincipalType":"User"}`), getService, "", true},
		{"from where", allow("GetService", "*", `"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, is+`{"aws:RequestedRegion":"us-west-2","aws:ResourceAccount":"111122223333"}`, `"Bool":{"aws:SecureTransport":"false"}`), getService, "", true},
		{"from elsewhere", allow("GetService", "*", `"IpAddress":{"aws:SourceIp":"192.168.0.0/16"}`), getService, "", false},
		{"only over TLS", allow("GetService", "*", `"Bool":{"aws:SecureTransport":"true"}`), getService, "", false},
		{"when", allow("GetService", "*", `"DateGreaterThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}`, `"DateLessThan":{"aws:EpochTime":"2026-07-01"}`), getService, "", true},
		{"too late", allow("GetService", "*", `"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}`), getService, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, message := call(t, tc.statement, tc.request, tc.body)
			if allowed := status < 300; allowed != tc.allowed || !allowed && status != 403 {
				t.Errorf("answered %d %s, want allowed to be %t", status, message, tc.allowed)
			}
		})
	}
}

func TestTagsWhoseKeysDifferOnlyInCaseEvadeNoPolicy(t *testing.T) {
	const (
		create = "POST /services"
		both   = `{"name":"web","tags":{"team":"blue","Team":"red"}}`
		get    = "GET /services/" + twofold
		is     = `"StringEquals":`
	)
	deny := func(condition string) string {
		return `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"*","Resource":"*","Condition":{` + condition + `}}]`
	}
	for _, tc := range []struct {
		name, statement, request, body string
		allowed                        bool
	}{
		{"one key in the policy's case", allow("CreateService", "*", is+`{"aws:RequestTag/team":"blue"}`), create, `{"name":"web","tags":{"team":"blue"}}`, true},
		{"one key in another case", allow("CreateService", "*", is+`{"aws:RequestTag/team":"blue"}`), create, `{"name":"web","tags":{"TEAM":"blue"}}`, true},
		{"both keys", allow("CreateService", "*", is+`{"aws:RequestTag/team":"blue"}`), create, both, false},
		{"both keys, both in another case", allow("CreateService", "*", is+`{"aws:RequestTag/tEAM":"blue"}`), create, `{"name":"web","tags":{"TEAM":"blue","team":"red"}}`, false},
		{"both keys with the same value", allow("CreateService", "*", is+`{"aws:RequestTag/team":"blue"}`), create, `{"name":"web","tags":{"team":"blue","Team":"blue"}}`, false},
		{"an allow for what is not red", allow("CreateService", "*", `"StringNotEquals":{"aws:RequestTag/team":"red"}`), create, both, false},
		{"an allow that does not ask", allow("CreateService", "*"), create, both, true},
		{"an allow about another key", allow("CreateService", "*", `"Null":{"aws:RequestTag/color":"true"}`), create, both, true},
		{"a deny of what is red", deny(is + `{"aws:RequestTag/team":"red"}`), create, both, false},
		{"a deny of what is not blue", deny(`"StringNotEquals":{"aws:RequestTag/team":"blue"}`), create, both, false},
		{"a deny of another key", deny(is + `{"aws:RequestTag/color":"red"}`), create, both, true},
		{"a deny of another operation", `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"vpc-lattice:DeleteService","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"red"}}}]`, create, both, true},
		{"a deny with a second condition that fails", deny(is + `{"aws:RequestTag/team":"red","aws:username":"bob"}`), create, both, true},
		{"a resource with both", allow("GetService", "*", is+`{"aws:ResourceTag/team":"blue"}`), get, "", false},
		{"a deny about a resource with both", deny(is + `{"aws:ResourceTag/team":"red"}`), get, "", false},
		{"a variable for both", allow("GetService", "*", is+`{"aws:PrincipalTag/team":"${aws:ResourceTag/team}"}`), get, "", false},
		{"a variable with a default for both", allow("GetService", "*", is+`{"aws:PrincipalTag/team":"${aws:ResourceTag/team, 'blue'}"}`), get, "", false},
		{"a deny with a variable for both", deny(is + `{"aws:PrincipalTag/team":"${aws:ResourceTag/team}"}`), get, "", false},
		{"a deny of a resource named by both", `[` + allow("*", "*") + `,{"Effect":"Deny","Action":"*","Resource":"` + prefix + `service/*${aws:ResourceTag/team}"}]`, get, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, message := call(t, tc.statement, tc.request, tc.body)
			if allowed := status < 300; allowed != tc.allowed || !allowed && status != 403 {
				t.Errorf("answered %d %s, want allowed to be %t", status, message, tc.allowed)
			}
		})
	}
}

func TestCallerWhoseKeyWasRemovedMayDoNothing(t *testing.T) {
	a := New(Config{Principals: nobody{}, Resources: stored{}})
	err := a.Authorize(api.Call{Operation: "GetService", Resource: prefix + "service/" + service, Input: &shape.GetServiceRequest{}})
	if err == nil {
		t.Error("a caller whose key was removed is allowed to call")
	}
}

type nobody struct{}

func (nobody) Principal(string) (*principal.Principal, bool) { return nil, false }
