package sigv4_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/net/http/httpguts"

	"trellis/internal/sigv4"
	"trellis/internal/sigv4/sigv4test"
)

// canBeSent reports whether net/http sends these parts of a request as they are, and AWS's signer gives them no other
// meaning.
func canBeSent(method, target, query, name, value string) bool {
	name = strings.ToLower(name)
	_, err := url.ParseQuery(query)
	return err == nil && !strings.Contains(query, "#") && !strings.Contains(query, "X-Amz-") && strings.HasPrefix(target, "/") &&
		httpguts.ValidHeaderFieldName(method) && httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) &&
		!slices.Contains([]string{"host", "cookie", "content-length", "authorization", "date"}, name) && !strings.HasPrefix(name, "x-amz-") &&
		value == strings.TrimSpace(value) && !strings.Contains(value, "\t")
}

// awsSigned returns a request that AWS's signer has signed.
func awsSigned(t *testing.T, method, target, query, name, value string, token, presign bool) *sigv4test.Request {
	t.Helper()
	r := &http.Request{
		Method: method, Host: "shop.example.com:8080", Header: http.Header{},
		URL: &url.URL{Scheme: "http", Host: "shop.example.com:8080", Path: target, RawQuery: query},
	}
	r.Header.Set(name, value)
	credentials := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	if token {
		credentials.SessionToken = "to/ke+n="
	}
	at := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	if presign {
		parameters := r.URL.Query()
		parameters.Set("X-Amz-Expires", "60")
		r.URL.RawQuery = parameters.Encode()
		signed, headers, err := v4.NewSigner().PresignHTTP(t.Context(), credentials, r, sigv4.UnsignedPayload, "vpc-lattice-svcs", "us-west-2", at)
		if err != nil {
			t.Fatal(err)
		}
		if r.URL, err = url.Parse(signed); err != nil {
			t.Fatal(err)
		}
		headers.Del("Host")
		r.Header = headers
	} else {
		r.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
		if err := v4.NewSigner().SignHTTP(t.Context(), credentials, r, sigv4.UnsignedPayload, "vpc-lattice-svcs", "us-west-2", at); err != nil {
			t.Fatal(err)
		}
	}
	return sigv4test.Sent(r)
}

// verify checks a signature as a service does, for the body that it leaves out.
func verify(v *sigv4.Verifier, r *sigv4.Request, payload string) (*sigv4.Signature, bool) {
	s, err := sigv4.Parse(r)
	return s, err == nil && s.CheckDate() == nil && s.AccessKeyID == "AKIDEXAMPLE" && s.Service == "vpc-lattice-svcs" && s.Region == "us-west-2" &&
		v.Verify(r, s, "secret", payload, sigv4.Encoded, sigv4.NormalizedEncoded, sigv4.Plain)
}

func FuzzSignaturesOfAWSAreAcceptedAndChangedOnesRefused(f *testing.F) {
	f.Add("GET", "/", "", "X-App", "a  b", false, false, uint32(0))
	f.Add("POST", "/a b/ü/%2F//./c/..", "b=2&a=1&a=%2F+&=&c", "Content-Type", "text/plain; charset=utf-8", true, false, uint32(12345))
	f.Add("DELETE", "/~user/!$&'()*+,;=:@", "q=a%20b&q=", "Range", "bytes=1-2", true, true, uint32(777))
	f.Add("PROPFIND", "//x/", "part=1&part-of=2&part.x=3&part0=4", "If-Match", "\"x\"", false, true, uint32(1<<31))
	var v sigv4.Verifier
	f.Fuzz(func(t *testing.T, method, target, query, name, value string, token, presign bool, where uint32) {
		if !canBeSent(method, target, query, name, value) {
			return
		}
		s := awsSigned(t, method, target, query, name, value, token, presign)
		signature, ok := verify(&v, s.View(), sigv4.UnsignedPayload)
		if !ok {
			t.Fatalf("what AWS's signer has signed is refused: %+v", s)
		}
		if _, ok := verify(&v, s.View(), "another body"); ok {
			t.Errorf("the signature holds for another body: %+v", s)
		}
		for changed := range s.Changed(signature, func(bit, bits int) bool { return bit == int(where)%bits }) {
			if _, ok := verify(&v, changed.View(), sigv4.UnsignedPayload); ok {
				t.Errorf("the signature holds for another request\n%+v\n%+v", s, changed)
			}
		}
	})
}
