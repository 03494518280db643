package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/api/bounds"
	"trellis/internal/shape"
)

// anybody is an Authenticator that accepts everybody.
type anybody struct{}

func (anybody) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: "123456789012", Region: "us-west-2", Principal: "arn:aws:iam::123456789012:root"}, nil
}

// reached returns an error that no check of the input returns, so that a test sees that the operation was called.
func reached(_ context.Context, operation string, _ api.Caller, _ any) error {
	return api.Conflict("", "", operation)
}

func send(t testing.TB, h http.Handler, request apitest.Request) *http.Response {
	t.Helper()
	r, err := request.HTTP("http://lattice.test")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func decodeAnswer[T any](t testing.TB, res *http.Response) T {
	t.Helper()
	var v T
	if err := json.NewDecoder(res.Body).Decode(&v); err != nil {
		t.Fatalf("the response is not JSON: %v", err)
	}
	return v
}

// says returns what a message about a violation must say.
func says(c apitest.Case) string {
	const member = "failed to satisfy constraint: Member must "
	switch c.Kind {
	case bounds.IsRequired:
		return member + "not be null"
	case bounds.AtLeast:
		return " greater than or equal to " + strconv.FormatInt(*c.Shape.Min, 10)
	case bounds.AtMost:
		return " less than or equal to " + strconv.FormatInt(*c.Shape.Max, 10)
	case bounds.Matches:
		return member + "satisfy regular expression pattern: " + c.Shape.Pattern
	case bounds.OneOf:
		return member + "satisfy enum value set: [" + strings.Join(c.Shape.Enum, ", ") + "]"
	case bounds.OneMember:
		return "must have exactly one member"
	default:
		return "must be "
	}
}

func TestEveryViolationOfTheModelIsRefusedWithItsField(t *testing.T) {
	h := api.NewHandler(api.Config{Operations: apitest.Operations(reached), Authenticator: anybody{}})
	for _, op := range bounds.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			for _, c := range apitest.Violations(op) {
				res := send(t, h, c.Request)
				if res.StatusCode != 400 || res.Header.Get("X-Amzn-ErrorType") != "ValidationException" {
					t.Errorf("%s: %s %s: status %d, error %q, want 400 ValidationException",
						c.Name, c.Request.Target, c.Request.Body, res.StatusCode, res.Header.Get("X-Amzn-ErrorType"))
					continue
				}
				answer := decodeAnswer[shape.ValidationException](t, res)
				if answer.Reason != shape.ValidationExceptionReasonFieldValidationFailed || len(answer.FieldList) != 1 ||
					*answer.FieldList[0].Name != c.Field {
					t.Errorf("%s: want the one field %q, got %s", c.Name, c.Field, *answer.Message)
					continue
				}
				message := *answer.FieldList[0].Message
				if want := says(c); !strings.Contains(message, want) {
					t.Errorf("%s: the message does not say %q: %s", c.Name, want, message)
				}
			}
		})
	}
}

func TestValuesJustInsideTheModelAreAccepted(t *testing.T) {
	h := api.NewHandler(api.Config{Operations: apitest.Operations(reached), Authenticator: anybody{}})
	for _, op := range bounds.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			cases := append(apitest.Allowed(op),
				apitest.Case{Name: "required members only", Request: apitest.Valid(op)},
				apitest.Case{Name: "all members", Request: apitest.Full(op)})
			for _, c := range cases {
				res := send(t, h, c.Request)
				if res.StatusCode != http.StatusConflict {
					t.Errorf("%s: %s %s: status %d, want 409", c.Name, c.Request.Target, c.Request.Body, res.StatusCode)
				}
			}
		})
	}
}

// Without a sample the tests above would try nothing for a pattern that a new version of the model brings.
func TestEveryPatternHasSamples(t *testing.T) {
	for _, op := range bounds.Operations() {
		for _, c := range op.Constraints() {
			if c.Kind == bounds.Matches && !apitest.HasSample(c.Shape.Pattern) {
				t.Errorf("%s: no sample for the pattern %s of %s", op.Name, c.Shape.Pattern, c.Shape.Name)
			}
		}
	}
}

// Everything that is sent must arrive: the input that the operation gets, as JSON, is what was sent.
func TestInputArrivesWhole(t *testing.T) {
	for _, op := range bounds.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			var got map[string]any
			h := api.NewHandler(api.Config{
				Operations: apitest.Operations(func(_ context.Context, name string, _ api.Caller, in any) error {
					if name != op.Name {
						t.Errorf("operation %s was called", name)
					}
					b, err := json.Marshal(in)
					if err != nil {
						t.Error(err)
					}
					return json.Unmarshal(b, &got)
				}),
				Authenticator: anybody{},
			})
			res := send(t, h, apitest.Full(op))
			if res.StatusCode != op.Status {
				t.Fatalf("status %d, want %d", res.StatusCode, op.Status)
			}
			for _, m := range op.Input.Members {
				if _, ok := got[m.Name]; !ok {
					t.Errorf("member %s did not arrive", m.Name)
				}
			}
			var sent map[string]any
			if body := apitest.Full(op).Body; body != nil {
				if err := json.Unmarshal(body, &sent); err != nil {
					t.Fatal(err)
				}
			}
			for name, v := range sent {
				want, _ := json.Marshal(v)
				if have, _ := json.Marshal(got[name]); string(have) != string(want) {
					t.Errorf("member %s: sent %s, arrived %s", name, want, have)
				}
			}
		})
	}
}
