package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/shape"
)

// answering returns a handler whose operations all return err.
func answering(err error) http.Handler {
	return api.NewHandler(api.Config{
		Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { return err }),
		Authenticator: anybody{},
	})
}

func get(target string) apitest.Request { return apitest.Request{Method: "GET", Target: target} }

func post(target, body string) apitest.Request {
	return apitest.Request{Method: "POST", Target: target, Body: []byte(body)}
}

func TestErrorsAreAnsweredWithTheirStatusAndMembers(t *testing.T) {
	tests := []struct {
		name       string
		err        error
		status     int
		code       string
		body       string
		retryAfter string
	}{
		{"one wrong field", api.Invalid("config.port", "Too small."), 400, "ValidationException",
			`{"fieldList":[{"message":"Too small.","name":"config.port"}],"message":"Too small.","reason":"fieldValidationFailed"}`, ""},
		{"business rule", api.Rejected("Not with <this> & that."), 400, "ValidationException",
			`{"message":"Not with <this> & that.","reason":"other"}`, ""},
		{"quota of an account", api.QuotaExceeded("SERVICE", "", "L-1234ABCD", "Too many."), 402, "ServiceQuotaExceededException",
			`{"message":"Too many.","quotaCode":"L-1234ABCD","resourceType":"SERVICE","serviceCode":"vpc-lattice"}`, ""},
		{"quota of a resource", api.QuotaExceeded("TARGET_GROUP", "tg-1", "L-1234ABCD", "Too many."), 402, "ServiceQuotaExceededException",
			`{"message":"Too many.","quotaCode":"L-1234ABCD","resourceId":"tg-1","resourceType":"TARGET_GROUP","serviceCode":"vpc-lattice"}`, ""},
		{"access denied", api.AccessDenied("No."), 403, "AccessDeniedException", `{"message":"No."}`, ""},
		{"not found", api.NotFound("TARGET_GROUP", "tg-1"), 404, "ResourceNotFoundException",
			`{"message":"TARGET_GROUP tg-1 does not exist.","resourceId":"tg-1","resourceType":"TARGET_GROUP"}`, ""},
		{"conflict", api.Conflict("TARGET_GROUP", "tg-1", "In use."), 409, "ConflictException",
			`{"message":"In use.","resourceId":"tg-1","resourceType":"TARGET_GROUP"}`, ""},
		{"throttled", api.Throttled(3, "Slower."), 429, "ThrottlingException", `{"message":"Slower.","serviceCode":"vpc-lattice"}`, "3"},
		{"throttled without a time", api.Throttled(0, "Slower."), 429, "ThrottlingException", `{"message":"Slower.","serviceCode":"vpc-lattice"}`, ""},
		{"internal, meant for the client", &shape.InternalServerException{Message: new("Down."), RetryAfterSeconds: new(int32(7))}, 500, "InternalServerException",
			`{"message":"Down."}`, "7"},
		{"wrapped", fmt.Errorf("deleting: %w", api.AccessDenied("No.")), 403, "AccessDeniedException", `{"message":"No."}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := send(t, answering(test.err), get("/targetgroups/tg-0123456789abcdef0"))
			body, _ := io.ReadAll(res.Body)
			got := []any{res.StatusCode, res.Header.Get("x-amzn-ErrorType"), string(body), res.Header.Get("Retry-After"), res.Header.Get("Content-Type")}
			want := []any{test.status, test.code, test.body, test.retryAfter, "application/json"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOtherErrorsAreLoggedAndNotShown(t *testing.T) {
	secret := errors.New("etcd at 10.0.0.7 is down")
	tests := []struct {
		name      string
		operation apitest.Operations
	}{
		{"an error", func(context.Context, string, api.Caller, any) error { return secret }},
		{"a panic", func(context.Context, string, api.Caller, any) error { panic(secret) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var log bytes.Buffer
			h := api.NewHandler(api.Config{
				Operations: test.operation, Authenticator: anybody{}, Log: slog.New(slog.NewJSONHandler(&log, nil)),
			})
			res := send(t, h, get("/targetgroups"))
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != 500 || res.Header.Get("x-amzn-ErrorType") != "InternalServerException" {
				t.Errorf("status %d, error %q", res.StatusCode, res.Header.Get("x-amzn-ErrorType"))
			}
			requestID := res.Header.Get("x-amzn-RequestId")
			if strings.Contains(string(body), "etcd") || !strings.Contains(string(body), requestID) {
				t.Errorf("the response shows the error, or not the request id: %s", body)
			}
			var line struct{ Level, Operation, Account, Error, RequestID string }
			if err := json.Unmarshal(log.Bytes(), &line); err != nil {
				t.Fatalf("not one line of log: %q", log.String())
			}
			if line.Level != "WARN" || line.Operation != "ListTargetGroups" || line.Account != "123456789012" ||
				line.RequestID != requestID || !strings.Contains(line.Error, secret.Error()) {
				t.Errorf("log: %s", log.String())
			}
		})
	}
}

func TestSuccessAndClientErrorsAreLoggedForDebuggingOnly(t *testing.T) {
	for _, err := range []error{nil, api.AccessDenied("No.")} {
		for level, lines := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: 1} {
			var log bytes.Buffer
			h := api.NewHandler(api.Config{
				Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { return err }),
				Authenticator: anybody{},
				Log:           slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})),
			})
			send(t, h, get("/targetgroups"))
			if got := strings.Count(log.String(), "\n"); got != lines {
				t.Errorf("error %v, level %s: %d lines of log, want %d: %s", err, level, got, lines, log.String())
			}
		}
	}
}

func TestClientThatDisconnectsIsNotLoggedAsAFault(t *testing.T) {
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	h := api.NewHandler(api.Config{
		Operations: apitest.Operations(func(ctx context.Context, _ string, _ api.Caller, _ any) error {
			cancel()
			return ctx.Err()
		}),
		Authenticator: anybody{}, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/targetgroups", nil).WithContext(ctx))
	if log.Len() > 0 {
		t.Errorf("log: %s", log.String())
	}
}

func TestResponsesOverTheWire(t *testing.T) {
	server := httptest.NewServer(answering(nil))
	defer server.Close()
	tests := []struct {
		name          string
		request       apitest.Request
		status        int
		body          string
		contentType   string
		contentLength int64
	}{
		{"created", post("/services", `{"name":"abc"}`), 201, "{}", "application/json", 2},
		{"association answers 200", post("/servicenetworkserviceassociations",
			`{"serviceIdentifier":"svc-0123456789abcdef0","serviceNetworkIdentifier":"sn-0123456789abcdef0"}`), 200, "{}", "application/json", 2},
		{"no content", apitest.Request{Method: "DELETE", Target: "/servicenetworks/sn-0123456789abcdef0"}, 204, "", "", 0},
		{"delete with content", apitest.Request{Method: "DELETE", Target: "/services/svc-0123456789abcdef0"}, 200, "{}", "application/json", 2},
		{"empty structure", post("/tags/arn%3Aaws%3Avpc-lattice%3Aus-west-2%3A123456789012%3Aservice%2Fsvc-1", `{"tags":{}}`), 200, "{}", "application/json", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := test.request.HTTP(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			res, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			got := []any{res.StatusCode, string(body), res.Header.Get("Content-Type"), res.ContentLength}
			if diff := cmp.Diff([]any{test.status, test.body, test.contentType, test.contentLength}, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if test.status == 204 && res.Header.Get("Content-Length") != "" {
				t.Error("a 204 has a Content-Length")
			}
		})
	}
}

func TestEveryResponseHasItsOwnRequestID(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	var called []string
	h := api.NewHandler(api.Config{
		Operations: apitest.Operations(func(_ context.Context, _ string, caller api.Caller, _ any) error {
			called = append(called, caller.RequestID)
			return nil
		}),
		Authenticator: anybody{},
	})
	for _, target := range []string{"/targetgroups", "/targetgroups", "/nowhere", "/targetgroups/x"} {
		id := send(t, h, get(target)).Header.Get("x-amzn-RequestId")
		if !uuid.MatchString(id) || seen[id] {
			t.Errorf("%s: request id %q is no UUID, or not a new one", target, id)
		}
		seen[id] = true
	}
	if len(called) != 2 || !seen[called[0]] || !seen[called[1]] {
		t.Errorf("the operations were called with the request ids %q, which are not those of the responses %v", called, seen)
	}
}

func TestUnknownOperationIsAnsweredWithMethodAndPath(t *testing.T) {
	res := send(t, answering(nil), apitest.Request{Method: "PUT", Target: "/targetgroups/a%2Fb"})
	if res.StatusCode != 404 || res.Header.Get("x-amzn-ErrorType") != "UnknownOperationException" {
		t.Errorf("status %d, error %q", res.StatusCode, res.Header.Get("x-amzn-ErrorType"))
	}
	answer := decodeAnswer[struct{ Message string }](t, res)
	if answer.Message != "No operation of the API is PUT /targetgroups/a%2Fb." {
		t.Errorf("message %q", answer.Message)
	}
}

// recorder is an Authenticator that remembers what it was shown.
type recorder struct {
	err  error
	body []byte
}

func (d *recorder) Authenticate(_ *http.Request, body func() ([]byte, error)) (api.Caller, error) {
	text, err := body()
	if err != nil {
		return api.Caller{}, err
	}
	d.body = bytes.Clone(text)
	return api.Caller{Account: "000000000001"}, d.err
}

func TestCallerIsAuthenticatedBeforeTheInputIsLookedAt(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"no signature", &api.AuthenticationError{Code: "MissingAuthenticationTokenException", Message: "Sign."}, 403, "MissingAuthenticationTokenException"},
		{"its own status", &api.AuthenticationError{Code: "IncompleteSignatureException", Message: "Sign.", Status: 400}, 400, "IncompleteSignatureException"},
		{"an exception of the API", api.AccessDenied("No."), 403, "AccessDeniedException"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			recorder := &recorder{err: test.err}
			h := api.NewHandler(api.Config{
				Operations: apitest.Operations(func(context.Context, string, api.Caller, any) error {
					t.Error("the operation was called")
					return nil
				}),
				Authenticator: recorder,
			})
			res := send(t, h, post("/services", `not JSON`))
			if res.StatusCode != test.status || res.Header.Get("x-amzn-ErrorType") != test.code {
				t.Errorf("status %d, error %q", res.StatusCode, res.Header.Get("x-amzn-ErrorType"))
			}
			if string(recorder.body) != "not JSON" {
				t.Errorf("the authenticator was shown the body %q", recorder.body)
			}
		})
	}
}

func TestUnreadableRequestsCannotBeParsed(t *testing.T) {
	tests := []struct {
		name    string
		request apitest.Request
	}{
		{"not JSON", post("/services", `name=abc`)},
		{"cut off", post("/services", `{"name":"abc"`)},
		{"only space", post("/services", ` `)},
		{"two objects", post("/services", `{"name":"abc"}{}`)},
		{"something behind the object", post("/services", `{"name":"abc"} x`)},
		{"a list", post("/services", `["name"]`)},
		{"null", post("/services", `null`)},
		{"a string", post("/services", `"name"`)},
		{"not UTF-8", post("/services", "{\"name\":\"abc\xff\"}")},
		{"nested too deep", post("/services", strings.Repeat(`{"a":`, 20000)+"1"+strings.Repeat("}", 20000))},
		{"too large", post("/services", `{"name":"`+strings.Repeat("a", 1<<20)+`"}`)},
		{"query with a bad escape", get("/services?nextToken=%zz")},
		{"query with a semicolon", get("/services?nextToken=a;maxResults=1")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			res := send(t, answering(nil), test.request)
			answer := decodeAnswer[shape.ValidationException](t, res)
			if res.StatusCode != 400 || res.Header.Get("x-amzn-ErrorType") != "ValidationException" ||
				answer.Reason != shape.ValidationExceptionReasonCannotParse || answer.FieldList != nil {
				t.Errorf("status %d, error %q, reason %q: %s", res.StatusCode, res.Header.Get("x-amzn-ErrorType"), answer.Reason, *answer.Message)
			}
		})
	}
}

func TestBodyUpToTheLimitIsRead(t *testing.T) {
	h := api.NewHandler(api.Config{
		Operations:    apitest.Operations(func(context.Context, string, api.Caller, any) error { return nil }),
		Authenticator: anybody{}, MaxBodyBytes: 20,
	})
	for spaces, want := range map[int]int{5: 201, 6: 201, 7: 400} {
		body := `{"name":"abc"}` + strings.Repeat(" ", spaces)
		if got := send(t, h, post("/services", body)).StatusCode; got != want {
			t.Errorf("%d bytes: status %d, want %d", len(body), got, want)
		}
	}
}

func TestOperationThatDoesNotEndTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := api.NewHandler(api.Config{
			Operations: apitest.Operations(func(ctx context.Context, _ string, _ api.Caller, _ any) error {
				<-ctx.Done()
				return ctx.Err()
			}),
			Authenticator: anybody{},
			Log:           slog.New(slog.DiscardHandler),
		})
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest("GET", "/services", nil))
		if answer.Code != http.StatusInternalServerError || answer.Header().Get("X-Amzn-Errortype") != "InternalServerException" {
			t.Errorf("the response is %d %s", answer.Code, answer.Header().Get("X-Amzn-Errortype"))
		}
	})
}
