package identity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"trellis/internal/api"
	"trellis/internal/principal"
	"trellis/internal/sigv4"
)

const credentialsFile = `[default]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY
trellis_account = 111122223333

[session]
aws_access_key_id = ASIDEXAMPLE
aws_secret_access_key = secret;with#marks
aws_session_token = the-token
trellis_arn = arn:aws:sts::000000000000:assumed-role/role/session
`

func openSigned(t testing.TB) *Signed {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte(credentialsFile), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials, err := principal.OpenCredentials(path, "000000000000", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return NewSigned(credentials, nil, "vpc-lattice")
}

var administrator = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

// signedRequest is a request as the SDK's own signer signs it.
type signedRequest struct {
	credentials aws.Credentials
	method, url string
	body        string
	service     string
	region      string
	at          time.Time
	header      http.Header
	// payloadHash is the hash of the body, unless the test sets another.
	payloadHash string
}

func (s signedRequest) build(t testing.TB) (*http.Request, []byte) {
	t.Helper()
	if s.credentials.AccessKeyID == "" {
		s.credentials = administrator
	}
	if s.method == "" {
		s.method = "POST"
	}
	if s.url == "" {
		s.url = "http://127.0.0.1:7600/targetgroups"
	}
	if s.service == "" {
		s.service = "vpc-lattice"
	}
	if s.region == "" {
		s.region = "eu-west-1"
	}
	if s.at.IsZero() {
		s.at = time.Now()
	}
	r, err := http.NewRequest(s.method, s.url, bytes.NewReader([]byte(s.body)))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range s.header {
		r.Header[name] = values
	}
	if s.payloadHash == "" {
		sum := sha256.Sum256([]byte(s.body))
		s.payloadHash = hex.EncodeToString(sum[:])
	} else {
		r.Header.Set("X-Amz-Content-Sha256", s.payloadHash)
	}
	if err := v4.NewSigner().SignHTTP(context.Background(), s.credentials, r, s.payloadHash, s.service, s.region, s.at); err != nil {
		t.Fatal(err)
	}
	// The request as a server receives it.
	r.Host = r.URL.Host
	return r, []byte(s.body)
}

func TestSignedRequestsOfTheSDKAreAccepted(t *testing.T) {
	a := openSigned(t)
	for _, tc := range []struct {
		name    string
		request signedRequest
		want    api.Caller
	}{
		{"a body", signedRequest{body: `{"name":"x"}`}, api.Caller{Account: "111122223333", Region: "eu-west-1", Principal: "arn:aws:iam::111122223333:user/default", UserID: "AIDALIVIWMZUZRNZLAEE2", AccessKeyID: "AKIDEXAMPLE"}},
		{"a query", signedRequest{method: "GET", url: "http://h/targetgroups?nextToken=a%2Fb%3D&maxResults=5&empty="}, api.Caller{Account: "111122223333", Region: "eu-west-1", Principal: "arn:aws:iam::111122223333:user/default", UserID: "AIDALIVIWMZUZRNZLAEE2", AccessKeyID: "AKIDEXAMPLE"}},
		{"an ARN in the path", signedRequest{method: "GET", url: "http://h/services/arn%3Aaws%3Avpc-lattice%3Aeu-west-1%3A111122223333%3Aservice%2Fsvc-0123456789abcdef0"}, api.Caller{Account: "111122223333", Region: "eu-west-1", Principal: "arn:aws:iam::111122223333:user/default", UserID: "AIDALIVIWMZUZRNZLAEE2", AccessKeyID: "AKIDEXAMPLE"}},
		{"repeated keys", signedRequest{method: "DELETE", url: "http://h/tags/arn?tagKeys=b&tagKeys=a"}, api.Caller{Account: "111122223333", Region: "eu-west-1", Principal: "arn:aws:iam::111122223333:user/default", UserID: "AIDALIVIWMZUZRNZLAEE2", AccessKeyID: "AKIDEXAMPLE"}},
		{"keys that begin with others", signedRequest{method: "GET", url: "http://h/services?part=1&part-of=2&part.x=3&part0=4&part~=5"}, api.Caller{Account: "111122223333", Region: "eu-west-1", Principal: "arn:aws:iam::111122223333:user/default", UserID: "AIDALIVIWMZUZRNZLAEE2", AccessKeyID: "AKIDEXAMPLE"}},
		{"a session token", signedRequest{credentials: aws.Credentials{AccessKeyID: "ASIDEXAMPLE", SecretAccessKey: "secret;with#marks", SessionToken: "the-token"}},
			api.Caller{Account: "000000000000", Region: "eu-west-1", Principal: "arn:aws:sts::000000000000:assumed-role/role/session", UserID: "AROAPQDD73OH4LU5VDHVJ:session", AccessKeyID: "ASIDEXAMPLE"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, body := tc.request.build(t)
			got, err := a.Authenticate(r, given(body))
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("caller is %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestPresignedRequestsAreAccepted(t *testing.T) {
	a := openSigned(t)
	session := aws.Credentials{AccessKeyID: "ASIDEXAMPLE", SecretAccessKey: "secret;with#marks", SessionToken: "the-token"}
	for name, credentials := range map[string]aws.Credentials{"of a user": administrator, "of a session": session} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest("GET", "http://h/targetgroups?maxResults=5&X-Amz-Expires=900", nil)
			if err != nil {
				t.Fatal(err)
			}
			empty := sha256.Sum256(nil)
			signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), credentials, r, hex.EncodeToString(empty[:]), "vpc-lattice", "eu-west-1", time.Now().Add(-10*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(signed)
			if err != nil {
				t.Fatal(err)
			}
			arrived := &http.Request{Method: "GET", URL: u, Host: u.Host, Header: http.Header{}}
			caller, err := a.Authenticate(arrived, given(nil))
			if err != nil || caller.AccessKeyID != credentials.AccessKeyID {
				t.Errorf("the caller is %+v, error %v", caller, err)
			}
			// Without its token, or with another, a session is unknown.
			query := u.Query()
			if query.Has("X-Amz-Security-Token") {
				query.Set("X-Amz-Security-Token", "another-token")
				u.RawQuery = query.Encode()
				if _, err := a.Authenticate(arrived, given(nil)); err == nil {
					t.Error("another session's token is accepted")
				}
			}
		})
	}
}

func TestPresignedRequestIsValidAsLongAsItSays(t *testing.T) {
	a := openSigned(t)
	signedAt := time.Now().UTC().Truncate(time.Second)
	for _, tc := range []struct {
		expires string
		age     time.Duration
		code    string
	}{
		{"1", 0, ""},
		{"1", time.Second, ""},
		{"1", 2 * time.Second, codeExpired},
		{"60", time.Minute, ""},
		{"60", 61 * time.Second, codeExpired},
		{"60", -5 * time.Minute, ""}, // The signer's clock is ahead.
		{"60", -6 * time.Minute, codeExpired},
		{"604800", 604800 * time.Second, ""},
		{"604800", 604801 * time.Second, codeExpired},
		{"604801", 0, codeIncomplete},
		{"0", 0, codeIncomplete},
		{"-1", 0, codeIncomplete},
		{"", 0, codeIncomplete},
		{"1.5", 0, codeIncomplete},
		// The nanoseconds of this one overflow, to a time within the bounds.
		{"18446744074", 0, codeIncomplete},
	} {
		a.now = func() time.Time { return signedAt.Add(tc.age) }
		r, err := http.NewRequest("GET", "http://h/targetgroups?X-Amz-Expires="+tc.expires, nil)
		if err != nil {
			t.Fatal(err)
		}
		empty := sha256.Sum256(nil)
		signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), administrator, r, hex.EncodeToString(empty[:]), "vpc-lattice", "eu-west-1", signedAt)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if _, err := a.Authenticate(&http.Request{Method: "GET", URL: u, Host: u.Host, Header: http.Header{}}, given(nil)); err != nil {
			refused, ok := errors.AsType[*api.AuthenticationError](err)
			if !ok {
				t.Fatal(err)
			}
			got = refused.Code
		}
		if got != tc.code {
			t.Errorf("X-Amz-Expires %q, %s after it was signed: %q, want %q", tc.expires, tc.age, got, tc.code)
		}
	}
}

func TestWrongSignaturesAreRefusedWithAWSCodes(t *testing.T) {
	a := openSigned(t)
	for _, tc := range []struct {
		name    string
		request signedRequest
		tamper  func(r *http.Request, body *[]byte)
		code    string
	}{
		{"unsigned", signedRequest{}, func(r *http.Request, _ *[]byte) { r.Header.Del("Authorization") }, codeMissingToken},
		{"another scheme", signedRequest{}, func(r *http.Request, _ *[]byte) { r.Header.Set("Authorization", "Basic abc") }, codeIncomplete},
		{"no date", signedRequest{}, func(r *http.Request, _ *[]byte) { r.Header.Del("X-Amz-Date") }, codeIncomplete},
		{"unknown key", signedRequest{credentials: aws.Credentials{AccessKeyID: "AKIDOTHER", SecretAccessKey: "x"}}, nil, codeUnknownKey},
		{"no session token", signedRequest{credentials: aws.Credentials{AccessKeyID: "ASIDEXAMPLE", SecretAccessKey: "secret;with#marks"}}, nil, codeUnknownKey},
		{"a session token that the key has not", signedRequest{credentials: aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: administrator.SecretAccessKey, SessionToken: "t"}}, nil, codeUnknownKey},
		{"wrong secret", signedRequest{credentials: aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wrong"}}, nil, codeMismatch},
		{"another service", signedRequest{service: "s3"}, nil, codeMismatch},
		{"another body", signedRequest{body: "{}"}, func(_ *http.Request, body *[]byte) { *body = []byte("[]") }, codeMismatch},
		{"a body left unsigned", signedRequest{body: "{}", payloadHash: sigv4.UnsignedPayload}, nil, codeMismatch},
		{"another hash declared", signedRequest{body: "{}", header: http.Header{"X-Amz-Content-Sha256": {strings.Repeat("0", 64)}}}, nil, codeMismatch},
		{"signed for another day", signedRequest{}, func(r *http.Request, _ *[]byte) {
			r.Header.Set("X-Amz-Date", time.Now().UTC().Add(-48*time.Hour).Format(sigv4.TimeFormat))
		}, codeMismatch},
		{"host left unsigned", signedRequest{}, func(r *http.Request, _ *[]byte) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
		}, codeIncomplete},
		{"SigV4A", signedRequest{}, func(r *http.Request, _ *[]byte) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), string(sigv4.HMAC), "AWS4-ECDSA-P256-SHA256", 1))
		}, codeIncomplete},
		{"another path", signedRequest{}, func(r *http.Request, _ *[]byte) { r.URL.Path = "/services" }, codeMismatch},
		{"another query", signedRequest{}, func(r *http.Request, _ *[]byte) { r.URL.RawQuery = "a=b" }, codeMismatch},
		{"another host", signedRequest{}, func(r *http.Request, _ *[]byte) { r.Host = "other" }, codeMismatch},
		{"too old", signedRequest{at: time.Now().Add(-6 * time.Minute)}, nil, codeExpired},
		{"too new", signedRequest{at: time.Now().Add(6 * time.Minute)}, nil, codeExpired},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, body := tc.request.build(t)
			if tc.tamper != nil {
				tc.tamper(r, &body)
			}
			_, err := a.Authenticate(r, given(body))
			refused, ok := errors.AsType[*api.AuthenticationError](err)
			if !ok || refused.Code != tc.code {
				t.Errorf("refused with %v, want %s", err, tc.code)
			}
		})
	}
}

func dev(t *testing.T) Dev {
	t.Helper()
	open, err := principal.NewOpenDirectory("000000000000", nil)
	if err != nil {
		t.Fatal(err)
	}
	return Dev{Region: "us-west-2", Principals: open}
}

func TestDevTakesAccountAndRegionFromTheCredentialWithoutCheckingIt(t *testing.T) {
	r, _ := http.NewRequest("GET", "http://h/services", nil)
	d := dev(t)
	for authorization, want := range map[string]string{
		"": "000000000000/us-west-2",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102//vpc-lattice/aws4_request, SignedHeaders=host, Signature=x":                  "000000000000/us-west-2",
		"AWS4-HMAC-SHA256 Credential=111122223333/20260102/eu-west-1/vpc-lattice/aws4_request, SignedHeaders=host, Signature=x": "111122223333/eu-west-1",
		"AWS4-HMAC-SHA256 Credential=AKID/20260102/eu-west-1/vpc-lattice/aws4_request, SignedHeaders=host, Signature=x":         "000000000000/eu-west-1",
		"nonsense": "000000000000/us-west-2",
	} {
		r.Header.Set("Authorization", authorization)
		caller, err := d.Authenticate(r, given(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got := caller.Scope().String(); got != want {
			t.Errorf("%q gives %s, want %s", authorization, got, want)
		}
	}
}

// strangeRegions are texts that must never become the Region of a record, a header or an ARN.
var strangeRegions = []string{
	"local", "us-west-2;SourceVpcArn=arn", "us-west-\xff", "us-west-2\n", "aws-global", strings.Repeat("us-west-2-", 1000), "us west 2",
}

func TestRegionOfASignatureHasTheFormOfOneInDevToo(t *testing.T) {
	d := dev(t)
	for _, region := range strangeRegions {
		r, _ := http.NewRequest("GET", "http://h/services", nil)
		r.URL.RawQuery = url.Values{"X-Amz-Credential": {"AKID/20260102/" + region + "/vpc-lattice/aws4_request"}}.Encode()
		_, err := d.Authenticate(r, given(nil))
		refused, ok := errors.AsType[*api.AuthenticationError](err)
		if !ok || refused.Code != codeMismatch || !strings.Contains(refused.Message, "Credential should be scoped to a valid Region") || len(refused.Message) > 300 {
			t.Errorf("%.30q is answered %v", region, err)
		}
	}
}

func TestOnlyAcceptedRegionsAreServed(t *testing.T) {
	all := openSigned(t)
	one := NewSigned(all.principals, []string{"us-west-2"}, "vpc-lattice")
	r, body := signedRequest{}.build(t)
	if _, err := all.Authenticate(r, given(body)); err != nil {
		t.Fatal(err)
	}
	_, err := one.Authenticate(r, given(body))
	refused, ok := errors.AsType[*api.AuthenticationError](err)
	if want := `Credential should be scoped to a valid Region, not "eu-west-1". This server serves us-west-2 (--regions).`; !ok || refused.Code != codeMismatch || refused.Message != want {
		t.Errorf("another Region is answered %v, want %s", err, want)
	}
	// A client with a secret can sign for any text.
	for _, region := range strangeRegions {
		r, body := signedRequest{region: region}.build(t)
		if _, err := all.Authenticate(r, given(body)); err == nil {
			t.Errorf("%.30q is accepted", region)
		}
	}
}

func FuzzSignature(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/vpc-lattice/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc", "20260102T000000Z", "/a%2Fb", "a=b&c")
	f.Add("Basic x", "", "", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=x")
	a := openSigned(f)
	f.Fuzz(func(t *testing.T, authorization, date, path, query string) {
		r := &http.Request{Method: "GET", Host: "h", URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}}
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Amz-Date"] = []string{date}
		if _, err := a.Authenticate(r, given(nil)); err == nil {
			t.Error("a request that nobody signed was accepted")
		}
	})
}

// given returns a function that returns a body.
func given(body []byte) func() ([]byte, error) {
	return func() ([]byte, error) { return body, nil }
}

// Anybody can send a body. Errors in a request's head are found without reading it.
func TestBodyIsReadOnlyWhenTheRestOfTheSignatureIsRight(t *testing.T) {
	unknown := aws.Credentials{AccessKeyID: "AKIDOTHER", SecretAccessKey: "secret"}
	for name, tc := range map[string]struct {
		request signedRequest
		change  func(*http.Request)
		reads   bool
	}{
		"right":           {reads: true},
		"wrong signature": {reads: true, change: func(r *http.Request) { r.Header.Set("X-Amz-Date", r.Header.Get("X-Amz-Date")); r.URL.Path = "/other" }},
		"not signed":      {change: func(r *http.Request) { r.Header.Del("Authorization") }},
		"malformed":       {change: func(r *http.Request) { r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x") }},
		"unknown key":     {request: signedRequest{credentials: unknown}},
		"expired":         {request: signedRequest{at: time.Now().Add(-time.Hour)}},
		"another service": {request: signedRequest{service: "s3"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, body := tc.request.build(t)
			if tc.change != nil {
				tc.change(r)
			}
			read := false
			_, err := openSigned(t).Authenticate(r, func() ([]byte, error) {
				read = true
				return body, nil
			})
			if read != tc.reads {
				t.Errorf("the body was read: %v, %v", read, err)
			}
		})
	}
}
