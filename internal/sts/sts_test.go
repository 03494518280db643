package sts

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"trellis/internal/api"
)

// knows is an Authenticator that knows one caller, or refuses everybody.
type knows struct{ err error }

func (k knows) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: "111122223333", Principal: "arn:aws:iam::111122223333:user/a&b", UserID: "AIDAEXAMPLE"}, k.err
}

// ask sends a request to STS and returns the status, the type and the body with the request id replaced.
func ask(t *testing.T, k knows, r *http.Request) (int, string, string) {
	t.Helper()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	recorder := httptest.NewRecorder()
	NewHandler(Config{Authenticator: k, Next: next, Log: slog.New(slog.DiscardHandler)}).ServeHTTP(recorder, r)
	res := recorder.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if id := res.Header.Get("x-amzn-RequestId"); id != "" && !strings.Contains(string(body), id) {
		t.Errorf("the body does not hold the request id %s: %s", id, body)
	}
	text := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).ReplaceAllString(string(body), "ID")
	return res.StatusCode, res.Header.Get("Content-Type"), text
}

func form(values string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(values))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

const (
	identityXML = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>arn:aws:iam::111122223333:user/a&amp;b</Arn>
    <UserId>AIDAEXAMPLE</UserId>
    <Account>111122223333</Account>
  </GetCallerIdentityResult>
  <ResponseMetadata>
    <RequestId>ID</RequestId>
  </ResponseMetadata>
</GetCallerIdentityResponse>
`
	identityJSON = `{"GetCallerIdentityResponse":{"GetCallerIdentityResult":{"Arn":"arn:aws:iam::111122223333:user/a\u0026b","UserId":"AIDAEXAMPLE","Account":"111122223333"},"ResponseMetadata":{"RequestId":"ID"}}}` + "\n"
)

func TestCallerIsToldWhoItIs(t *testing.T) {
	asJSON := form("Action=GetCallerIdentity&Version=2011-06-15")
	asJSON.Header.Set("Accept", "application/json")
	for name, tc := range map[string]struct {
		request           *http.Request
		contentType, body string
	}{
		"POST": {form("Action=GetCallerIdentity&Version=2011-06-15"), "text/xml", identityXML},
		"GET":  {httptest.NewRequest("GET", "/?Action=GetCallerIdentity&Version=2011-06-15", nil), "text/xml", identityXML},
		"JSON": {asJSON, "application/json", identityJSON},
	} {
		t.Run(name, func(t *testing.T) {
			status, contentType, body := ask(t, knows{}, tc.request)
			if status != 200 || contentType != tc.contentType || body != tc.body {
				t.Errorf("answered %d %s\n%s\nwant\n%s", status, contentType, body, tc.body)
			}
		})
	}
}

func TestOtherRequestsToSTSAreRefusedInItsOwnForm(t *testing.T) {
	for name, tc := range map[string]struct {
		knows   knows
		request *http.Request
		status  int
		code    string
	}{
		"another action":  {knows{}, form("Action=AssumeRole&Version=2011-06-15"), 400, "InvalidAction"},
		"another version": {knows{}, form("Action=GetCallerIdentity&Version=2000-01-01"), 400, "InvalidAction"},
		"no action":       {knows{}, form("Version=2011-06-15"), 400, "MissingAction"},
		"no form":         {knows{}, form("Action=%zz"), 400, "MalformedQueryString"},
		"too large":       {knows{}, form("Action=" + strings.Repeat("a", maxBodyBytes)), 400, "MalformedInput"},
		"nobody":          {knows{&api.AuthenticationError{Code: "InvalidClientTokenId", Message: "No."}}, form("Action=GetCallerIdentity&Version=2011-06-15"), 403, "InvalidClientTokenId"},
		"too often":       {knows{api.Throttled(7, "Too many failures.")}, form("Action=GetCallerIdentity&Version=2011-06-15"), 429, "ThrottlingException"},
		"our fault":       {knows{errors.New("disk")}, form("Action=GetCallerIdentity&Version=2011-06-15"), 500, "InternalFailure"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, body := ask(t, tc.knows, tc.request)
			if status != tc.status || !strings.Contains(body, "<Code>"+tc.code+"</Code>") || !strings.HasPrefix(body, "<ErrorResponse") || strings.Contains(body, "disk") {
				t.Errorf("answered %d\n%s\nwant %d %s", status, body, tc.status, tc.code)
			}
		})
	}
}

func TestWhatIsNoRequestToSTSIsPassedOn(t *testing.T) {
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/services", nil),
		httptest.NewRequest("POST", "/services?Action=GetCallerIdentity", strings.NewReader("{}")),
		httptest.NewRequest("GET", "/", nil),
		{Method: "OPTIONS", URL: &url.URL{Path: "*"}, Header: http.Header{}},
	} {
		if status, _, _ := ask(t, knows{}, r); status != http.StatusTeapot {
			t.Errorf("%s %s is answered %d", r.Method, r.URL, status)
		}
	}
}
