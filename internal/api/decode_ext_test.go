package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/api/bounds"
	"trellis/internal/shape"
)

func TestEveryWrongFieldIsNamed(t *testing.T) {
	const targets = "/targetgroups/tg-0123456789abcdef0/registertargets"
	tests := []struct {
		name    string
		request apitest.Request
		want    []string
	}{
		{"at all depths", post("/targetgroups", `{"name":"Bad-","config":{"port":0,"healthCheck":{"path":"x","matcher":{"httpCode":"2xx"}}},"tags":{"":"a"}}`),
			[]string{"config.healthCheck.matcher.httpCode", "config.healthCheck.path", "config.port", "name", `tags[""]`, "type"}},
		{"in a list", post(targets, `{"targets":[{"id":"a"},{"id":"","port":70000},{"port":1},null,"x"]}`),
			[]string{"targets[1].id", "targets[1].port", "targets[2].id", "targets[3]", "targets[4]"}},
		{"in path and body", post("/targetgroups/tg-1/registertargets", `{}`), []string{"targetGroupIdentifier", "targets"}},
		{"in the query", get("/targetgroups?maxResults=abc&nextToken=&vpcIdentifier=x&targetGroupType=ip"),
			[]string{"maxResults", "nextToken", "targetGroupType", "vpcIdentifier"}},
		{"given twice", get("/targetgroups?maxResults=1&maxResults=1"), []string{"maxResults"}},
		{"in a repeated parameter", apitest.Request{Method: "DELETE", Target: "/tags/arn:aws:vpc-lattice:us-west-2:123456789012:service%2Fsvc-1?tagKeys=a&tagKeys="},
			[]string{"tagKeys[1]"}},
		{"no body", apitest.Request{Method: "POST", Target: "/targetgroups"}, []string{"name", "type"}},
		{"null value in a map", post("/services", `{"name":"abc","tags":{"a":null,"b":"c"}}`), []string{`tags["a"]`}},
		{"both of a union, one of them wrong", post("/services/svc-0123456789abcdef0/listeners",
			`{"name":"abc","protocol":"HTTP","defaultAction":{"forward":{"targetGroups":[]},"fixedResponse":{"statusCode":404}}}`),
			[]string{"defaultAction", "defaultAction.forward.targetGroups"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := send(t, answering(nil), test.request)
			answer := decodeAnswer[shape.ValidationException](t, res)
			var got []string
			for _, field := range answer.FieldList {
				got = append(got, *field.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s\n%s", diff, *answer.Message)
			}
			if !strings.HasPrefix(*answer.Message, fmt.Sprintf("%d validation error", len(test.want))) {
				t.Errorf("message %q does not count the errors", *answer.Message)
			}
		})
	}
}

func TestMessagesSayValueFieldAndConstraint(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"too short", `{"name":"ab","type":"IP"}`, "1 validation error detected: Value 'ab' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 3"},
		{"long values are cut", `{"name":"` + strings.Repeat("é", 200) + `","type":"IP"}`,
			"1 validation error detected: Value '" + strings.Repeat("é", 64) + "...' at 'name' failed to satisfy constraint: Member must have length less than or equal to 128"},
		{"name", `{"name":"tg-1","type":"IP"}`,
			"1 validation error detected: Value 'tg-1' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!tg-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+ (lower-case letters, digits and single hyphens between them, without the prefix tg-)"},
		{"enum", `{"name":"abc","type":"VM"}`, "1 validation error detected: Value 'VM' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [IP, LAMBDA, INSTANCE, ALB]"},
		{"range", `{"name":"abc","type":"IP","config":{"port":65536}}`, "1 validation error detected: Value '65536' at 'config.port' failed to satisfy constraint: Member must have value less than or equal to 65535"},
		{"below what can be held", `{"name":"abc","type":"IP","config":{"port":-99999999999}}`, "1 validation error detected: Value '-99999999999' at 'config.port' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"type", `{"name":"abc","type":"IP","config":{"port":"80"}}`, "1 validation error detected: The value at 'config.port' must be a whole number, not a string."},
		{"union", `{"name":"abc","type":"IP","config":{"healthCheck":{"matcher":{}}}}`,
			"1 validation error detected: The value at 'config.healthCheck.matcher' must have exactly one member of httpCode; it has 0."},
		{"two", `{"type":"VM"}`,
			"2 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; Value 'VM' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [IP, LAMBDA, INSTANCE, ALB]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer := decodeAnswer[shape.ValidationException](t, send(t, answering(nil), post("/targetgroups", test.body)))
			if *answer.Message != test.want {
				t.Errorf("message\n%s, want\n%s", *answer.Message, test.want)
			}
		})
	}
}

func TestVeryManyWrongFieldsAreCountedButNotAllNamed(t *testing.T) {
	body := `{"name":"abc","subnetIds":[` + strings.TrimSuffix(strings.Repeat(`"",`, 1000), ",") + `]}`
	answer := decodeAnswer[shape.ValidationException](t, send(t, answering(nil), post("/resourcegateways", body)))
	if len(answer.FieldList) != 100 || !strings.HasPrefix(*answer.Message, "1000 validation errors detected: ") {
		t.Errorf("%d fields, message %.60s", len(answer.FieldList), *answer.Message)
	}
}

func TestUnknownAndNullMembersAreIgnored(t *testing.T) {
	var got *shape.CreateTargetGroupRequest
	h := api.NewHandler(api.Config{
		Operations: apitest.Operations(func(_ context.Context, _ string, _ api.Caller, in any) error {
			got = in.(*shape.CreateTargetGroupRequest)
			return nil
		}),
		Authenticator: anybody{},
	})
	const body = `{"name":"abc","type":"IP","future":{"a":[1]},"config":{"port":80,"protocol":null,"healthCheck":{"port":null,"x":1}},"tags":null,"Name":"def"}`
	if status := send(t, h, post("/targetgroups", body)).StatusCode; status != 201 {
		t.Fatalf("status %d", status)
	}
	want := &shape.CreateTargetGroupRequest{
		Name: new("abc"), Type: shape.TargetGroupTypeIp,
		Config: &shape.TargetGroupConfig{Port: new(int32(80)), HealthCheck: &shape.HealthCheckConfig{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("input (-want +got):\n%s", diff)
	}
}

func TestEmptyListAndMapAreNotAbsent(t *testing.T) {
	var got *shape.UpdateResourceGatewayRequest
	h := api.NewHandler(api.Config{
		Operations: apitest.Operations(func(_ context.Context, _ string, _ api.Caller, in any) error {
			got = in.(*shape.UpdateResourceGatewayRequest)
			return nil
		}),
		Authenticator: anybody{},
	})
	r := apitest.Request{Method: "PATCH", Target: "/resourcegateways/rgw-0123456789abcdef0", Body: []byte(`{"securityGroupIds":[]}`)}
	if status := send(t, h, r).StatusCode; status != 200 {
		t.Fatalf("status %d", status)
	}
	if got.SecurityGroupIds == nil {
		t.Error("an empty list arrived as an absent one")
	}
}

func FuzzAnyBodyIsAnsweredWithoutServerError(f *testing.F) {
	all := bounds.Operations()
	for i, op := range all {
		f.Add(uint8(i), apitest.Valid(op).Body)
		f.Add(uint8(i), apitest.Full(op).Body)
	}
	for _, seed := range []string{"", "null", "[]", `{"name":{"a":[1,2,{"b":null}]}}`, `{"tags":[{}]}`, `{"config":{"port":1e400}}`} {
		f.Add(uint8(11), []byte(seed))
	}
	h := answering(nil)
	f.Fuzz(func(t *testing.T, operation uint8, body []byte) {
		op := all[int(operation)%len(all)]
		request := apitest.Valid(op)
		request.Body = body
		if status := send(t, h, request).StatusCode; status != op.Status && status != 400 {
			t.Errorf("%s: status %d", op.Name, status)
		}
	})
}

const createTargetGroup = `{"name":"orders-blue","type":"IP","clientToken":"5d1b6a0a-4f0c-4f2e-9a53-2f6f2c8c3f11",
"config":{"port":8080,"protocol":"HTTP","protocolVersion":"HTTP1","ipAddressType":"IPV4","vpcIdentifier":"vpc-0123456789abcdef0",
"healthCheck":{"enabled":true,"protocol":"HTTP","protocolVersion":"HTTP1","port":8081,"path":"/healthz","healthCheckIntervalSeconds":30,
"healthCheckTimeoutSeconds":5,"healthyThresholdCount":5,"unhealthyThresholdCount":2,"matcher":{"httpCode":"200-299"}}},
"tags":{"team":"orders","stage":"production"}}`

// echo answers CreateTargetGroup with the config it was sent.
type echo struct{ apitest.Operations }

func (echo) CreateTargetGroup(_ context.Context, _ api.Caller, in *shape.CreateTargetGroupRequest) (*shape.CreateTargetGroupResponse, error) {
	return &shape.CreateTargetGroupResponse{
		Arn: new("arn:aws:vpc-lattice:us-west-2:123456789012:targetgroup/tg-0123456789abcdef0"), Id: new("tg-0123456789abcdef0"),
		Name: in.Name, Type: in.Type, Config: in.Config, Status: shape.TargetGroupStatusCreateInProgress,
	}, nil
}

// discard is a ResponseWriter that does nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// The API's share of CreateTargetGroup: everything but net/http, the signature and the operation itself.
func BenchmarkCreateTargetGroup(b *testing.B) {
	h := api.NewHandler(api.Config{Operations: echo{}, Authenticator: anybody{}})
	r := httptest.NewRequest("POST", "/targetgroups", nil)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body := strings.NewReader(createTargetGroup)
		r.Body, r.ContentLength = readCloser{body}, int64(body.Len())
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
