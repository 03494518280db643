package caller

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4a"
	httpauth "github.com/aws/smithy-go/aws-http-auth/v4"

	"trellis/internal/principal"
	"trellis/internal/sigv4"
	"trellis/internal/sigv4/sigv4test"
)

// known are principals by their access key ids.
type known map[string]*principal.Principal

func (k known) Principal(accessKeyID string) (*principal.Principal, bool) {
	p, ok := k[accessKeyID]
	return p, ok
}

var now = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

var principals = known{
	"AKIDEXAMPLE": {ARN: "arn:aws:iam::111122223333:user/blue", AccessKeyID: "AKIDEXAMPLE", SecretKey: "secret"},
	"ASIDEXAMPLE": {ARN: "arn:aws:sts::111122223333:assumed-role/shop/one", AccessKeyID: "ASIDEXAMPLE", SecretKey: "secret", SessionToken: "to/ke+n=", Expires: now.Add(time.Hour)},
	"ASIDENDED":   {ARN: "arn:aws:sts::111122223333:assumed-role/shop/two", AccessKeyID: "ASIDENDED", SecretKey: "secret", SessionToken: "token", Expires: now},
}

func newVerifier(change ...func(*Config)) *Verifier {
	cfg := Config{Principals: principals, Now: func() time.Time { return now }}
	for _, c := range change {
		c(&cfg)
	}
	return NewVerifier(cfg)
}

// signing says how a request is signed.
type signing struct {
	id, secret, token string
	service, region   string
	at                time.Time
	asymmetric        bool
	presign           bool
	payload           string
}

// sign returns a request as AWS's signers for Go sign it.
func sign(t testing.TB, s signing, method, url string, headers ...string) *sigv4test.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	for _, field := range []struct {
		text  *string
		value string
	}{{&s.id, "AKIDEXAMPLE"}, {&s.secret, "secret"}, {&s.service, service}, {&s.region, "us-west-2"}, {&s.payload, sigv4.UnsignedPayload}} {
		if *field.text == "" {
			*field.text = field.value
		}
	}
	if s.at.IsZero() {
		s.at = now
	}
	switch {
	case s.asymmetric:
		in := &sigv4a.SignRequestInput{
			Request: r, PayloadHash: []byte(s.payload), Service: s.service, RegionSet: strings.Split(s.region, ","), Time: s.at,
			Credentials: credentials.Credentials{AccessKeyID: s.id, SecretAccessKey: s.secret, SessionToken: s.token},
		}
		if s.presign {
			in.SignatureType = httpauth.SignatureTypeQueryString
			query := r.URL.Query()
			query.Set("X-Amz-Expires", "300")
			r.URL.RawQuery = query.Encode()
		}
		if err := sigv4a.New(func(o *httpauth.SignerOptions) { o.AddPayloadHashHeader = !s.presign }).SignRequest(in); err != nil {
			t.Fatal(err)
		}
	case s.presign:
		query := r.URL.Query()
		query.Set("X-Amz-Expires", "300")
		r.URL.RawQuery = query.Encode()
		signed, signedHeaders, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: s.id, SecretAccessKey: s.secret, SessionToken: s.token}, r, s.payload, s.service, s.region, s.at)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = http.NewRequest(method, signed, nil); err != nil {
			t.Fatal(err)
		}
		r.Header = signedHeaders
	default:
		r.Header.Set("X-Amz-Content-Sha256", s.payload)
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: s.id, SecretAccessKey: s.secret, SessionToken: s.token}, r, s.payload, s.service, s.region, s.at); err != nil {
			t.Fatal(err)
		}
	}
	return sigv4test.Sent(r)
}

const target = "http://shop.example.com:8080/orders/a%20b/caf%C3%A9?q=a%2Fb&q=&z=1"

// forms are the ways of signing.
var forms = map[string]signing{
	"SigV4":                       {},
	"SigV4, presigned":            {presign: true},
	"SigV4 of a session":          {id: "ASIDEXAMPLE", token: "to/ke+n="},
	"SigV4 of a session, in URL":  {id: "ASIDEXAMPLE", token: "to/ke+n=", presign: true},
	"SigV4A":                      {asymmetric: true},
	"SigV4A, everywhere":          {asymmetric: true, region: "*"},
	"SigV4A, several Regions":     {asymmetric: true, region: "eu-west-1,us-west-*"},
	"SigV4A, presigned":           {asymmetric: true, presign: true, region: "*"},
	"SigV4A of a session":         {asymmetric: true, id: "ASIDEXAMPLE", token: "to/ke+n="},
	"SigV4A of a session, in URL": {asymmetric: true, id: "ASIDEXAMPLE", token: "to/ke+n=", presign: true},
}

func TestSignedRequestsHaveTheirPrincipal(t *testing.T) {
	v := newVerifier()
	for name, form := range forms {
		for _, method := range []string{"GET", "POST"} {
			who, err := v.Identify(sign(t, form, method, target, "X-App", "a  b").View(), "us-west-2")
			if want := principals[cmp.Or(form.id, "AKIDEXAMPLE")]; err != nil || who != want {
				t.Errorf("%s, %s: %v, %v, want %v", name, method, who, err, want)
			}
		}
	}
}

func TestRequestsWithAnyChangedBitAreRefused(t *testing.T) {
	v := newVerifier()
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			r := sign(t, form, "GET", target, "Content-Type", "text/plain")
			s, err := sigv4.Parse(r.View())
			if err != nil {
				t.Fatal(err)
			}
			count := 0
			for changed := range r.Changed(s, func(int, int) bool { return true }) {
				if who, err := v.Identify(changed.View(), "us-west-2"); err == nil {
					t.Errorf("%v is believed to have sent\n%+v\nand has sent\n%+v", who, changed, r)
				}
				count++
			}
			if count < 1000 {
				t.Errorf("only %d bits were changed", count)
			}
		})
	}
}

func TestRequestWithoutASignatureIsAnonymous(t *testing.T) {
	v := newVerifier()
	for _, headers := range [][]string{nil, {"Authorization", "Bearer token"}, {"Authorization", "Basic YTpi"}, {"X-Amz-Date", "20260102T150405Z"}} {
		r, err := http.NewRequest("GET", target, nil)
		if err != nil {
			t.Fatal(err)
		}
		if headers != nil {
			r.Header.Set(headers[0], headers[1])
		}
		if who, err := v.Identify(sigv4test.Sent(r).View(), "us-west-2"); who != nil || err != nil {
			t.Errorf("%v: %v, %v", headers, who, err)
		}
	}
	// A signature in the query leaves the Authorization header to the application.
	r := sign(t, signing{presign: true}, "GET", target)
	r.Lines = append(r.Lines, [2]string{"Authorization", "Bearer token"})
	if who, err := v.Identify(r.View(), "us-west-2"); err != nil || who == nil {
		t.Errorf("presigned with a bearer token: %v, %v", who, err)
	}
}

func TestPathsThatSignersNormalizeOrEncodeOnceAreAccepted(t *testing.T) {
	v := newVerifier()
	plain := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }
	r, err := http.NewRequest("GET", "http://shop.example.com/a%20b/c%2Fd", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, r, sigv4.UnsignedPayload, service, "us-west-2", now, plain); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Identify(sigv4test.Sent(r).View(), "us-west-2"); err != nil {
		t.Errorf("a path that is encoded once: %v", err)
	}
	normal := sign(t, signing{}, "GET", "http://shop.example.com/a/b")
	normal.Path = "/a/.//x/../b"
	if _, err := v.Identify(normal.View(), "us-west-2"); err != nil {
		t.Errorf("a path that was normalized to be signed: %v", err)
	}
}

func TestWrongSignaturesAreRefusedInAWSsWords(t *testing.T) {
	without := func(name string) func(*sigv4test.Request) {
		return func(r *sigv4test.Request) {
			kept := r.Lines[:0]
			for _, line := range r.Lines {
				if !strings.EqualFold(line[0], name) {
					kept = append(kept, line)
				}
			}
			r.Lines = kept
		}
	}
	replace := func(name, old, new string) func(*sigv4test.Request) {
		return func(r *sigv4test.Request) {
			for i := range r.Lines {
				if strings.EqualFold(r.Lines[i][0], name) {
					r.Lines[i][1] = strings.Replace(r.Lines[i][1], old, new, 1)
				}
			}
		}
	}
	const mismatch = "InvalidSignatureException: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for name, tc := range map[string]struct {
		signing signing
		change  func(*sigv4test.Request)
		want    string
	}{
		"a signed payload":           {signing: signing{payload: hash}, want: "InvalidSignatureException: Signed payloads are not supported"},
		"a streamed payload":         {signing: signing{payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, want: "InvalidSignatureException: Signed payloads are not supported"},
		"no word about the payload":  {change: without("x-amz-content-sha256"), want: "IncompleteSignatureException: Missing the 'x-amz-content-sha256' in canonical headers"},
		"an unsigned word about it":  {change: replace("authorization", "x-amz-content-sha256;", ""), want: "IncompleteSignatureException: Missing the 'x-amz-content-sha256' in canonical headers"},
		"a token that is not there":  {signing: signing{id: "ASIDEXAMPLE", token: "to/ke+n="}, change: without("x-amz-security-token"), want: "IncompleteSignatureException: 'x-amz-security-token' is named as a SignedHeader, but it does not exist in the HTTP request."},
		"another secret":             {signing: signing{secret: "other"}, want: mismatch},
		"another secret, presigned":  {signing: signing{secret: "other", presign: true}, want: mismatch},
		"another secret with SigV4A": {signing: signing{secret: "other", asymmetric: true}, want: mismatch},
		"another header":             {change: replace("x-app", "a", "b"), want: mismatch},
		"another host":               {change: func(r *sigv4test.Request) { r.Host = "shop.example.com" }, want: mismatch},
		"an unknown key":             {signing: signing{id: "AKIDOTHER"}, want: "UnrecognizedClientException: The security token included in the request is invalid."},
		"another token":              {signing: signing{id: "ASIDEXAMPLE", token: "other"}, want: "UnrecognizedClientException: The security token included in the request is invalid."},
		"no token":                   {signing: signing{id: "ASIDEXAMPLE"}, want: "UnrecognizedClientException: The security token included in the request is invalid."},
		"an ended session":           {signing: signing{id: "ASIDENDED", token: "token"}, want: "ExpiredTokenException: The security token included in the request is expired"},
		"another service":            {signing: signing{service: "vpc-lattice"}, want: "InvalidSignatureException: Credential should be scoped to correct service: 'vpc-lattice-svcs'."},
		"another Region":             {signing: signing{region: "eu-west-1"}, want: "InvalidSignatureException: Credential should be scoped to a valid region."},
		"other Regions":              {signing: signing{region: "eu-*,us-west-1", asymmetric: true}, want: "InvalidSignatureException: Credential should be scoped to a valid region."},
		"unsigned Regions":           {signing: signing{asymmetric: true}, change: replace("authorization", ";x-amz-region-set", ""), want: "IncompleteSignatureException: Missing the 'x-amz-region-set' in canonical headers"},
		"too late":                   {signing: signing{at: now.Add(-301 * time.Second)}, want: "InvalidSignatureException: Signature expired: 20260102T145904Z is now earlier than 20260102T145905Z (20260102T150405Z - 5 min.)"},
		"too late, presigned":        {signing: signing{at: now.Add(-301 * time.Second), presign: true}, want: "InvalidSignatureException: Signature expired: 20260102T145904Z is now earlier than 20260102T145905Z (20260102T150405Z - 300 sec.)"},
		"too early":                  {signing: signing{at: now.Add(301 * time.Second)}, want: "InvalidSignatureException: Signature not yet current: 20260102T150906Z is still later than 20260102T150905Z (20260102T150405Z + 5 min.)"},
		"another day":                {change: replace("authorization", "20260102", "20260101"), want: "InvalidSignatureException: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260101' != '20260102'."},
		"no signature":               {change: replace("authorization", "Signature=", "Sig="), want: "IncompleteSignatureException: Authorization header requires 'Signature' parameter."},
		"another algorithm":          {change: replace("authorization", "HMAC-SHA256", "HMAC-MD5"), want: "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-HMAC-MD5'. It must be AWS4-HMAC-SHA256 or AWS4-ECDSA-P256-SHA256."},
		"half a presigned query":     {signing: signing{presign: true}, change: func(r *sigv4test.Request) { r.Query = "X-Amz-Signature=00" }, want: "IncompleteSignatureException: AWS query-string parameters must include 'X-Amz-Algorithm'. Re-examine the query-string parameters."},
	} {
		t.Run(name, func(t *testing.T) {
			r := sign(t, tc.signing, "GET", target, "X-App", "a")
			if tc.change != nil {
				tc.change(r)
			}
			who, err := newVerifier().Identify(r.View(), "us-west-2")
			refusal, ok := errors.AsType[*Refusal](err)
			if !ok || who != nil || refusal.Error() != tc.want {
				t.Errorf("%v, %v\nwant %s", who, err, tc.want)
			}
			if ok && refusal.CanonicalRequest+refusal.StringToSign != "" {
				t.Error("the refusal says more than it may")
			}
		})
	}
}

func TestExplainedRefusalSaysWhatShouldHaveBeenSigned(t *testing.T) {
	v := newVerifier(func(c *Config) { c.Explain = true })
	_, err := v.Identify(sign(t, signing{secret: "other"}, "GET", "http://shop.example.com:8080/a b").View(), "us-west-2")
	refusal, ok := errors.AsType[*Refusal](err)
	if !ok || !strings.HasPrefix(refusal.CanonicalRequest, "GET\n/a%2520b\n\nhost:shop.example.com:8080\n") || !strings.HasPrefix(refusal.StringToSign, "AWS4-HMAC-SHA256\n20260102T150405Z\n20260102/us-west-2/vpc-lattice-svcs/aws4_request\n") {
		t.Errorf("the refusal does not show what should have been signed: %+v", refusal)
	}
}

func TestExplainedRefusalSaysWhichPartDiffers(t *testing.T) {
	for name, test := range map[string]struct {
		form   signing
		url    string
		change func(*sigv4test.Request)
		want   string
		signed string // the beginning of what the client has signed
	}{
		"the port": {url: "http://shop.example.com/a", change: func(r *sigv4test.Request) { r.Host += ":8080" },
			want: `the host differs: the client has signed "shop.example.com", and "shop.example.com:8080" was received`, signed: "GET\n/a\n\nhost:shop.example.com\n"},
		"no port": {url: "http://shop.example.com:443/a", change: func(r *sigv4test.Request) { r.Host = "shop.example.com" },
			want: `the host differs: the client has signed "shop.example.com:443", and "shop.example.com" was received`, signed: "GET\n/a\n\nhost:shop.example.com:443\n"},
		"the method": {url: target, change: func(r *sigv4test.Request) { r.Method = "HEAD" },
			want: `the method differs: the client has signed "GET", and "HEAD" was received`, signed: "GET\n"},
		"a slash": {url: "http://shop.example.com/a b", change: func(r *sigv4test.Request) { r.Path += "/" },
			want: `the path differs: the client has signed "/a%20b", and "/a%20b/" was received`, signed: "GET\n/a%2520b\n"},
		"no slash": {url: "http://shop.example.com/a/", change: func(r *sigv4test.Request) { r.Path = "/a" },
			want: `the path differs: the client has signed "/a/", and "/a" was received`, signed: "GET\n/a/\n"},
		"the query": {url: "http://shop.example.com/a", change: func(r *sigv4test.Request) { r.Query = "b=c" },
			want: `the query differs: the client has signed "", and "b=c" was received`, signed: "GET\n/a\n\nhost"},
		"SigV4A": {form: signing{asymmetric: true}, url: target, change: func(r *sigv4test.Request) { r.Method = "POST" },
			want: `the method differs: the client has signed "GET"`, signed: "GET\n"},
		"presigned": {form: signing{presign: true}, url: "http://shop.example.com/a", change: func(r *sigv4test.Request) { r.Host += ":80" },
			want: `the host differs: the client has signed "shop.example.com"`, signed: "GET\n/a\nX-Amz-"},
		"a body": {form: signing{presign: true, payload: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, url: target,
			want: `the payload differs: the client has signed "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 (no body)"`, signed: "GET\n"},
		"the secret": {form: signing{secret: "other"}, url: target, want: "the secret differs, or more of what is signed"},
	} {
		r := sign(t, test.form, "GET", test.url)
		if test.change != nil {
			test.change(r)
		}
		_, err := newVerifier(func(c *Config) { c.Explain = true }).Identify(r.View(), "us-west-2")
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || !strings.HasPrefix(refusal.Differs, test.want) || !strings.HasPrefix(refusal.SignedCanonicalRequest, test.signed) ||
			(test.signed == "") != (refusal.SignedStringToSign == "") || refusal.CanonicalRequest == refusal.SignedCanonicalRequest {
			t.Errorf("%s: %+v; want %q, signed %q", name, err, test.want, test.signed)
		}
		if strings.Contains(refusal.Answer(), "differs") {
			t.Errorf("%s: the client is told %q", name, refusal.Answer())
		}
		if _, err := newVerifier().Identify(r.View(), "us-west-2"); err == nil || err.Error() != refusal.Answer() {
			t.Errorf("%s: where nothing is explained: %v, want %q", name, err, refusal.Answer())
		}
	}
}

func TestUnknownKeysAreAcceptedWhereAnyKeyIs(t *testing.T) {
	anybody := &principal.Principal{ARN: "arn:aws:iam::444455556666:root"}
	var asked string
	v := newVerifier(func(c *Config) {
		c.Unknown = func(accessKeyID string) *principal.Principal { asked = accessKeyID; return anybody }
	})
	if who, err := v.Identify(sign(t, signing{id: "444455556666", secret: "any"}, "GET", target).View(), "us-west-2"); who != anybody || err != nil || asked != "444455556666" {
		t.Errorf("an unknown key: %v, %v", who, err)
	}
	// What is wrong in another way is wrong for them too, and keys that are known need their secret.
	for name, s := range map[string]signing{
		"another Region":        {id: "444455556666", region: "eu-west-1"},
		"an old one":            {id: "444455556666", at: now.Add(-time.Hour)},
		"a known key's secret":  {secret: "any"},
		"a signed payload":      {id: "444455556666", payload: "00"},
		"a known session's one": {id: "ASIDEXAMPLE", token: "any"},
	} {
		if who, err := v.Identify(sign(t, s, "GET", target).View(), "us-west-2"); err == nil {
			t.Errorf("%s: accepted as %v, want an error", name, who)
		}
	}
}

func TestRegionSetsMayHaveStars(t *testing.T) {
	for set, want := range map[string]bool{
		"*": true, "us-west-2": true, "us-*": true, "*-2": true, "u*w*2": true, "eu-west-1, us-west-2": true, "**": true,
		"": false, "us-west": false, "us-*-1": false, "us-west-2*x": false, "eu-*": false, "*us-west-22": false, "us-west-2-*": false,
	} {
		if got := inRegionSet(set, "us-west-2"); got != want {
			t.Errorf("us-west-2 is in %q: %t, want %t", set, got, want)
		}
	}
}

func TestAnonymousRequestsCostNoMemory(t *testing.T) {
	v := newVerifier()
	view := (&sigv4test.Request{Method: "GET", Path: "/", Query: "a=b", Host: "h"}).View()
	view.Headers = noHeaders{}
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Identify(view, "us-west-2") }); n > 0 {
		t.Errorf("an anonymous request takes %v allocations, want none", n)
	}
}

type noHeaders struct{}

func (noHeaders) Header(string, int) ([]byte, int) { return nil, -1 }

// wire has header lines as a proxy has them: a lookup allocates nothing.
type wire []struct {
	name  string
	value []byte
}

func (w wire) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(w); i++ {
		if w[i].name == name {
			return w[i].value, i + 1
		}
	}
	return nil, -1
}

func BenchmarkIdentify(b *testing.B) {
	for _, name := range []string{"SigV4", "SigV4, presigned", "SigV4A", "SigV4A, presigned", "SigV4 of a session"} {
		b.Run(name, func(b *testing.B) {
			r := sign(b, forms[name], "GET", target, "User-Agent", "bench", "Accept", "*/*")
			view := r.View()
			var headers wire
			for _, line := range r.Lines {
				headers = append(headers, struct {
					name  string
					value []byte
				}{strings.ToLower(line[0]), []byte(line[1])})
			}
			view.Headers = headers
			v := newVerifier()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Identify(view, "us-west-2"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("GET", "/", "", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-west-2/vpc-lattice-svcs/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=00", "UNSIGNED-PAYLOAD", "*")
	f.Add("GET", "/a//../%zz", "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=AKIDEXAMPLE/20260102/vpc-lattice-svcs/aws4_request&X-Amz-Date=20260102T150405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=3006020101020101&X-Amz-Region-Set=*", "Bearer", "", "us-*")
	v := newVerifier()
	f.Fuzz(func(t *testing.T, method, path, query, authorization, payload, regions string) {
		r := &sigv4test.Request{Method: method, Path: path, Query: query, Host: "h", Lines: [][2]string{
			{"authorization", authorization}, {"x-amz-content-sha256", payload}, {"x-amz-region-set", regions}, {"x-amz-date", "20260102T150405Z"},
		}}
		who, err := v.Identify(r.View(), "us-west-2")
		if who != nil {
			t.Errorf("nobody has signed it, and it is from %v", who)
		}
		if err != nil && len(fmt.Sprint(err)) > 1000 {
			t.Errorf("the error has %d characters", len(err.Error()))
		}
	})
}
