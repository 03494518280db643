package sts

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/authorization"
	"trellis/internal/catalog"
	"trellis/internal/identity"
	"trellis/internal/lattice"
	"trellis/internal/principal"
	"trellis/internal/shape"
)

// knows is an Authenticator that knows one caller, or refuses everybody.
type knows struct{ err error }

func (k knows) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: "111122223333", Principal: "arn:aws:iam::111122223333:user/a&b", UserID: "AIDAEXAMPLE"}, k.err
}

// directory has the roles of a credentials file.
const directory = `[user]
aws_access_key_id = AKIDUSER
aws_secret_access_key = secret
trellis_account = 111122223333
trellis_tags = team=blue,cost=7
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}

[weak]
aws_access_key_id = AKIDWEAK
aws_secret_access_key = secret
trellis_account = 111122223333

[shop]
trellis_arn = arn:aws:iam::444455556666:role/teams/shop
trellis_account = 444455556666
trellis_tags = team=red,kind=role
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}
trellis_trust_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringLikeIfExists":{"aws:RequestTag/team":"gre*","sts:ExternalId":"42"}}},{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:RoleSessionName":"forbidden"}}}]}

[chained]
trellis_account = 444455556666
trellis_trust_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444455556666:role/teams/shop"},"Action":"sts:AssumeRole"}]}
`

// world is STS over a catalog, with the principals of the directory.
type world struct {
	principals *principal.Directory
	handler    http.Handler
	audited    *bytes.Buffer
	audit      *audit.Log
}

// as is an Authenticator that takes the access key id in the header X-Key for the caller's.
type as struct{ principals *principal.Directory }

func (a as) Authenticate(r *http.Request, _ func() ([]byte, error)) (api.Caller, error) {
	p, ok := a.principals.Principal(r.Header.Get("X-Key"))
	if !ok {
		return api.Caller{}, &api.AuthenticationError{Code: "InvalidClientTokenId", Message: "No."}
	}
	return api.Caller{Account: p.Account, Region: "us-west-2", Principal: p.ARN, UserID: p.UserID(), AccessKeyID: p.AccessKeyID}, nil
}

// nothing is stored.
type nothing struct{}

func (nothing) Resource(lattice.Key) (lattice.Resource, bool) { return nil, false }

func newWorld(t *testing.T) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte(directory), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := principal.OpenCredentials(path, "111122223333", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{principals: principal.NewDirectory(file), audited: new(bytes.Buffer)}
	c, err := catalog.Open(t.Context(), catalog.Config{DataDir: t.TempDir(), Ephemeral: true, Apply: w.principals.Apply, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if w.audit, err = audit.Open(audit.Config{Out: w.audited, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	w.handler = NewHandler(Config{
		Authenticator: as{w.principals}, Authorizer: authorization.New(authorization.Config{Principals: w.principals, Resources: nothing{}}),
		Throttle: api.NewThrottle(api.Limits{}), Principals: w.principals, Catalog: c, Audit: w.audit, Log: slog.New(slog.DiscardHandler),
	})
	return w
}

// call sends a request that is signed with a key, and decodes its response.
func (w *world) call(t *testing.T, key, values string) (status int, result stsResult) {
	t.Helper()
	r := form(values + "&Version=2011-06-15")
	r.Header.Set("X-Key", key)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	if err := xml.Unmarshal(recorder.Body.Bytes(), &result); err != nil {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	return recorder.Code, result
}

// stsResult has the members of the responses to all actions.
type stsResult struct {
	Role struct {
		Credentials   keys
		AssumedRoleID string `xml:"AssumedRoleUser>AssumedRoleId"`
		ARN           string `xml:"AssumedRoleUser>Arn"`
	} `xml:"AssumeRoleResult"`
	Token    struct{ Credentials keys }   `xml:"GetSessionTokenResult"`
	Identity struct{ Arn, UserId string } `xml:"GetCallerIdentityResult"`
	Error    struct{ Code, Message string }
}

type keys struct {
	AccessKeyID                   string `xml:"AccessKeyId"`
	SecretAccessKey, SessionToken string
	Expiration                    time.Time
}

func TestRoleIsAssumedWithTagsByThoseItTrusts(t *testing.T) {
	w := newWorld(t)
	before := time.Now()
	status, out := w.call(t, "AKIDUSER", "Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/teams/shop&RoleSessionName=one&DurationSeconds=900&ExternalId=42"+
		"&Tags.member.1.Key=Team&Tags.member.1.Value=green&Tags.member.2.Key=job&Tags.member.2.Value=")
	got := out.Role
	if status != 200 || got.ARN != "arn:aws:sts::444455556666:assumed-role/shop/one" || !strings.HasSuffix(got.AssumedRoleID, ":one") ||
		!regexp.MustCompile("^ASIA[A-Z2-7]{16}$").MatchString(got.Credentials.AccessKeyID) || len(got.Credentials.SecretAccessKey) != 40 || len(got.Credentials.SessionToken) < 100 {
		t.Fatalf("answered %d %+v", status, out)
	}
	if life := got.Credentials.Expiration.Sub(before); life < 898*time.Second || life > 960*time.Second {
		t.Errorf("the credentials live for %s, want 900 s", life)
	}
	p, ok := w.principals.Principal(got.Credentials.AccessKeyID)
	if ok && p.Expires.Sub(p.Issued) != 900*time.Second {
		t.Errorf("the credentials were issued at %s and end at %s, want 900 s between", p.Issued, p.Expires)
	}
	if !ok || p.SecretKey != got.Credentials.SecretAccessKey || p.SessionToken != got.Credentials.SessionToken || !p.Expires.Equal(got.Credentials.Expiration) ||
		p.RoleARN != "arn:aws:iam::444455556666:role/teams/shop" || p.Account != "444455556666" || len(p.Policies) != 1 {
		t.Errorf("the principal is %+v", p)
	}
	if diff := cmp.Diff(map[string]string{"Team": "green", "job": "", "kind": "role"}, p.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if _, out := w.call(t, p.AccessKeyID, "Action=GetCallerIdentity"); out.Identity.Arn != p.ARN || out.Identity.UserId != got.AssumedRoleID {
		t.Errorf("the session is told that it is %+v", out.Identity)
	}
	if err := w.audit.Close(); err != nil {
		t.Fatal(err)
	}
	if line := w.audited.String(); !strings.Contains(line, `"operation":"AssumeRole"`) || !strings.Contains(line, got.Credentials.AccessKeyID) || strings.Contains(line, got.Credentials.SecretAccessKey) || strings.Contains(line, got.Credentials.SessionToken) {
		t.Errorf("the audit log has %s", line)
	}
}

func TestSessionBelongsToTheCallerThatAskedForIt(t *testing.T) {
	w := newWorld(t)
	status, out := w.call(t, "AKIDUSER", "Action=GetSessionToken&DurationSeconds=129600")
	p, ok := w.principals.Principal(out.Token.Credentials.AccessKeyID)
	if status != 200 || !ok || p.ARN != "arn:aws:iam::111122223333:user/user" || p.Tags["team"] != "blue" || len(p.Policies) != 1 || p.RoleARN != "" {
		t.Fatalf("answered %d %+v; the principal is %+v", status, out, p)
	}
	if status, out := w.call(t, p.AccessKeyID, "Action=GetSessionToken"); status != 403 || out.Error.Message != "Cannot call GetSessionToken with session credentials" {
		t.Errorf("a session that asks for one is answered %d %+v", status, out.Error)
	}
	// A role that is assumed from a role lives for an hour at most.
	_, out = w.call(t, "AKIDUSER", "Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/teams/shop&RoleSessionName=one&ExternalId=42")
	first := out.Role.Credentials.AccessKeyID
	if status, out := w.call(t, first, "Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/chained&RoleSessionName=two&DurationSeconds=3601"); status != 400 {
		t.Errorf("a long chained session is answered %d %+v", status, out)
	}
	status, out = w.call(t, first, "Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/chained&RoleSessionName=two")
	if status != 200 || out.Role.ARN != "arn:aws:sts::444455556666:assumed-role/chained/two" {
		t.Errorf("a chained session is answered %d %+v", status, out)
	}
}

func TestSTSRefusesWhatItDoesNotDo(t *testing.T) {
	w := newWorld(t)
	const (
		assume = "Action=AssumeRole&RoleSessionName=one&RoleArn="
		shop   = assume + "arn:aws:iam::444455556666:role/teams/shop"
		good   = shop + "&ExternalId=42"
	)
	for name, tc := range map[string]struct {
		key, values string
		status      int
		want        string
	}{
		"no identity policy":        {"AKIDWEAK", good, 403, "AccessDenied: User: arn:aws:iam::111122223333:user/weak is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/teams/shop"},
		"no trust":                  {"AKIDUSER", assume + "arn:aws:iam::444455556666:role/chained", 403, "sts:AssumeRole on resource: arn:aws:iam::444455556666:role/chained"},
		"no such role":              {"AKIDUSER", assume + "arn:aws:iam::444455556666:role/none", 403, "sts:AssumeRole on resource: arn:aws:iam::444455556666:role/none"},
		"another external id":       {"AKIDUSER", shop + "&ExternalId=43", 403, "sts:AssumeRole"},
		"a denied name":             {"AKIDUSER", strings.Replace(good, "=one", "=forbidden", 1), 403, "sts:AssumeRole"},
		"a tag that is not let":     {"AKIDUSER", good + "&Tags.member.1.Key=team&Tags.member.1.Value=blue", 403, "sts:AssumeRole"},
		"tags without TagSession":   {"AKIDUSER", assume + "arn:aws:iam::444455556666:role/chained&Tags.member.1.Key=a&Tags.member.1.Value=b", 403, "sts:AssumeRole"},
		"no name":                   {"AKIDUSER", "Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/teams/shop", 400, "'roleSessionName'"},
		"a wrong name":              {"AKIDUSER", strings.Replace(good, "=one", "=a/b", 1), 400, "'a/b' at 'roleSessionName'"},
		"too short a life":          {"AKIDUSER", good + "&DurationSeconds=899", 400, "between 900 and 43200"},
		"too long a life":           {"AKIDUSER", good + "&DurationSeconds=43201", 400, "between 900 and 43200"},
		"a life that overflows":     {"AKIDUSER", good + "&DurationSeconds=9223372036854775807", 400, "between 900 and 43200"},
		"a policy of its own":       {"AKIDUSER", good + "&Policy=%7B%7D", 400, "The parameter Policy is not supported here."},
		"managed policies":          {"AKIDUSER", good + "&PolicyArns.member.1.arn=x", 400, "PolicyArns.member.1.arn is not supported"},
		"a code":                    {"AKIDUSER", "Action=GetSessionToken&TokenCode=123456", 400, "TokenCode is not supported"},
		"a tag twice":               {"AKIDUSER", good + "&Tags.member.1.Key=a&Tags.member.1.Value=1&Tags.member.2.Key=A&Tags.member.2.Value=2", 400, "Duplicate tag keys"},
		"a reserved tag":            {"AKIDUSER", good + "&Tags.member.1.Key=Aws:a&Tags.member.1.Value=1", 400, "does not begin with aws:"},
		"a tag of another line":     {"AKIDUSER", good + "&Tags.member.1.Key=a&Tags.member.1.Value=1%0D%0Ax-amzn-lattice-identity:me", 400, "'tags.1.member.value'"},
		"a key with a semicolon":    {"AKIDUSER", good + "&Tags.member.1.Key=a%3Bb&Tags.member.1.Value=1", 400, "'a;b' at 'tags.1.member.key'"},
		"tags that are not counted": {"AKIDUSER", good + "&Tags.member.2.Key=a&Tags.member.2.Value=1", 400, "Tags.member.1.Key"},
		"nobody":                    {"AKIDNONE", good, 403, "InvalidClientTokenId"},
	} {
		status, out := w.call(t, tc.key, tc.values)
		if got := out.Error.Code + ": " + out.Error.Message; status != tc.status || !strings.Contains(got, tc.want) {
			t.Errorf("%s: answered %d %s, want %d %s", name, status, got, tc.status, tc.want)
		}
	}
}

func TestEveryRoleExistsWhereEverybodyMayDoEverything(t *testing.T) {
	w := newWorld(t)
	open, err := principal.NewOpenDirectory("000000000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.handler.(*handler).cfg
	c, err := catalog.Open(t.Context(), catalog.Config{DataDir: t.TempDir(), Ephemeral: true, Apply: open.Apply, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	cfg.Principals, cfg.Catalog, cfg.Authorizer, cfg.Authenticator = open, c, nil, identity.Dev{Region: "us-west-2", Principals: open}
	w.handler = NewHandler(cfg)
	status, out := w.call(t, "", "Action=AssumeRole&RoleArn=arn:aws:iam::444455556666:role/any/role&RoleSessionName=one&Tags.member.1.Key=team&Tags.member.1.Value=blue")
	p, ok := open.Principal(out.Role.Credentials.AccessKeyID)
	if status != 200 || !ok || p.ARN != "arn:aws:sts::444455556666:assumed-role/role/one" || p.Tags["team"] != "blue" || len(p.Policies) != 1 {
		t.Fatalf("answered %d %+v; the principal is %+v", status, out, p)
	}
	for _, arn := range []string{"arn:aws:iam::444455556666:user/a", "arn:aws:iam::44:role/a", "arn:aws:iam::444455556666:role/a b", "arn:aws:iam::444455556666:role/", "role"} {
		if status, out := w.call(t, "", "Action=AssumeRole&RoleSessionName=one&RoleArn="+url.QueryEscape(arn)); status != 403 {
			t.Errorf("%s: answered %d %+v", arn, status, out)
		}
	}
}

func TestSessionsOfAnAccountAreBoundedAndEndedOnesMakeRoom(t *testing.T) {
	w := newWorld(t)
	cfg := w.handler.(*handler).cfg
	h := &handler{cfg}
	fill := func(expires time.Time) {
		t.Helper()
		for from := 0; from < maxSessions; from += 100 {
			err := cfg.Catalog.Commit(t.Context(), func(tx *catalog.Tx) error {
				for n := range 100 {
					tx.PutExpiring(&lattice.Session{Account: "111122223333", AccessKeyID: fmt.Sprintf("ASIA%d", from+n), Expires: expires})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(time.Now().Add(time.Hour))
	err := h.keep(t.Context(), newSession("111122223333", time.Hour))
	if _, ok := errors.AsType[*shape.ThrottlingException](err); !ok {
		t.Errorf("one more session: %v", err)
	}
	if err := h.keep(t.Context(), newSession("444455556666", time.Hour)); err != nil {
		t.Errorf("another account's: %v", err)
	}
	fill(time.Now().Add(-time.Second))
	if err := h.keep(t.Context(), newSession("111122223333", time.Hour)); err != nil {
		t.Errorf("when the others have ended: %v", err)
	}
}

// ask sends a request to STS and returns the status, the type and the body with the request id replaced.
func ask(t *testing.T, k knows, r *http.Request) (int, string, string) {
	t.Helper()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	recorder := httptest.NewRecorder()
	NewHandler(Config{Authenticator: k, Next: next, Throttle: api.NewThrottle(api.Limits{}), Log: slog.New(slog.DiscardHandler)}).ServeHTTP(recorder, r)
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
		"another action":  {knows{}, form("Action=AssumeRoleWithSAML&Version=2011-06-15"), 400, "InvalidAction"},
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

func TestRequestsThatAreNotForSTSArePassedOn(t *testing.T) {
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
