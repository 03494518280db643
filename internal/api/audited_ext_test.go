package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/audit"
	"trellis/internal/chaos"
	"trellis/internal/shape"
)

// creates implements CreateService alone.
type creates struct{ apitest.Operations }

func (creates) CreateService(context.Context, api.Caller, *shape.CreateServiceRequest) (*shape.CreateServiceResponse, error) {
	return &shape.CreateServiceResponse{Id: new("svc-1"), Arn: new("arn:svc-1")}, nil
}

// alice is an Authenticator that knows one caller.
type alice struct{}

func (alice) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	if r.Header.Get("X-Nobody") != "" {
		return api.Caller{}, &api.AuthenticationError{Code: "InvalidClientTokenId", Message: "No."}
	}
	return api.Caller{Account: "111122223333", Region: "us-west-2", Principal: "arn:aws:iam::111122223333:user/alice", AccessKeyID: "AKID"}, nil
}

// audited sends requests and returns what the audit log has of them.
func audited(t *testing.T, ops api.Operations, requests ...*http.Request) []audit.Entry {
	t.Helper()
	var out bytes.Buffer
	log, err := audit.Open(audit.Config{Out: &out, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h := api.NewHandler(api.Config{Operations: ops, Authenticator: alice{}, Audit: log})
	for _, r := range requests {
		r.RemoteAddr = "10.1.2.3:4567"
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, r)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	var entries []audit.Entry
	for line := range strings.Lines(out.String()) {
		var e audit.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if len(e.RequestID) != 36 || e.Time.IsZero() {
			t.Errorf("an entry lacks its request id or time: %s", line)
		}
		e.RequestID, e.Time, e.DurationMS = "", time.Time{}, 0
		entries = append(entries, e)
	}
	return entries
}

func request(method, target, body string) *http.Request {
	return httptest.NewRequest(method, target, strings.NewReader(body))
}

func TestEachCallThatChangesSomethingIsAudited(t *testing.T) {
	got := audited(t, creates{apitest.Operations(func(_ context.Context, operation string, _ api.Caller, _ any) error {
		switch operation {
		case "DeleteService":
			return api.NotFound("SERVICE", "svc-0123456789abcdef0")
		case "UpdateService":
			panic("broken")
		}
		return nil
	})},
		request("POST", "/services", `{"name":"web","tags":{"team":"blue","env":"x"},"clientToken":"t","certificateArn":"arn:aws:acm:us-west-2:111122223333:certificate/1"}`),
		request("GET", "/services", ""),
		request("POST", "/targetgroups/tg-0123456789abcdef0/listtargets", "{}"),
		request("DELETE", "/services/svc-0123456789abcdef0", ""),
		request("PATCH", "/services/svc-0123456789abcdef0", `{"authType":"NONE"}`),
		request("POST", "/services", `{"name":"X"}`),
		request("POST", "/services", `not JSON`),
		request("POST", "/targetgroups/tg-0123456789abcdef0/registertargets", `{"targets":[{"id":"10.0.0.1","port":80},{"id":"10.0.0.2"}]}`),
		request("PUT", "/authpolicy/svc-0123456789abcdef0", `{"policy":"{\"secret\":1}"}`),
		request("PATCH", "/services/svc-0123456789abcdef0/listeners/listener-0123456789abcdef0/rules", `{"rules":[{"ruleIdentifier":"rule-0123456789abcdef0","priority":1}]}`),
		request("DELETE", "/tags/arn%3Aaws%3Avpc-lattice%3Aus-west-2%3A111122223333%3Aservice%2Fsvc-1?tagKeys=a&tagKeys=b", ""),
	)
	entry := func(operation string, status int, code string, parameters map[string]any) audit.Entry {
		return audit.Entry{
			Account: "111122223333", Region: "us-west-2", Principal: "arn:aws:iam::111122223333:user/alice", AccessKeyID: "AKID",
			SourceIP: "10.1.2.3", Operation: operation, Parameters: parameters, Status: status, ErrorCode: code,
		}
	}
	created := entry("CreateService", 201, "", map[string]any{"name": "web", "tagKeys": []any{"env", "team"}, "certificateArn": "arn:aws:acm:us-west-2:111122223333:certificate/1"})
	created.ID, created.ARN = "svc-1", "arn:svc-1"
	service := map[string]any{"serviceIdentifier": "svc-0123456789abcdef0"}
	want := []audit.Entry{
		created,
		entry("DeleteService", 404, "ResourceNotFoundException", service),
		entry("UpdateService", 500, "InternalServerException", service),
		entry("CreateService", 400, "ValidationException", nil),
		entry("CreateService", 400, "ValidationException", nil),
		entry("RegisterTargets", 200, "", map[string]any{"targetGroupIdentifier": "tg-0123456789abcdef0", "targets": []any{"10.0.0.1:80", "10.0.0.2"}}),
		entry("PutAuthPolicy", 200, "", map[string]any{"resourceIdentifier": "svc-0123456789abcdef0"}),
		entry("BatchUpdateRule", 200, "", map[string]any{"serviceIdentifier": "svc-0123456789abcdef0", "listenerIdentifier": "listener-0123456789abcdef0", "ruleIdentifiers": []any{"rule-0123456789abcdef0"}}),
		entry("UntagResource", 200, "", map[string]any{"resourceArn": "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-1", "tagKeys": []any{"a", "b"}}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
}

func TestCallsWithoutAKnownCallerAreNotAudited(t *testing.T) {
	unsigned := request("POST", "/services", `{"name":"web"}`)
	unsigned.Header.Set("X-Nobody", "1")
	if got := audited(t, apitest.Operations(done), unsigned, request("PUT", "/nowhere", "")); len(got) > 0 {
		t.Errorf("audited: %+v", got)
	}
}

func TestChaosFailsCallsBeforeAndAfterTheOperation(t *testing.T) {
	calls := 0
	h := api.NewHandler(api.Config{
		Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { calls++; return nil }),
		Authenticator: anybody{}, Chaos: chaos.New(chaos.Config{Error: 1, Seed: 1}),
	})
	const all = 50
	for range all {
		res := send(t, h, get("/services"))
		if answer := decodeAnswer[shape.InternalServerException](t, res); res.StatusCode != 500 || !strings.Contains(*answer.Message, "--chaos-error") {
			t.Fatalf("answered %d %s", res.StatusCode, *answer.Message)
		}
	}
	if calls == 0 || calls == all {
		t.Errorf("of %d calls that failed %d were carried out, want some and not all", all, calls)
	}

	h = api.NewHandler(api.Config{Operations: apitest.Operations(done), Authenticator: anybody{}, Chaos: chaos.New(chaos.Config{Throttle: 1})})
	if res := send(t, h, get("/services")); res.StatusCode != 429 || res.Header.Get("Retry-After") != "1" {
		t.Errorf("answered %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
}

func TestDelayedCallsDoNotCountAgainstTheConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := api.NewHandler(api.Config{
			Operations: apitest.Operations(done), Authenticator: anybody{},
			Limits: api.Limits{Concurrency: 1}, Chaos: chaos.New(chaos.Config{Latency: 5 * time.Second}),
		})
		start := time.Now()
		statuses := make(chan int, 3)
		for range 3 {
			go func() { statuses <- send(t, h, get("/services")).StatusCode }()
		}
		for range 3 {
			if status := <-statuses; status != 200 {
				t.Errorf("answered %d", status)
			}
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("three calls at once took %v, want 5s", waited)
		}
	})
}
