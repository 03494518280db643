package sigv4_test

import (
	"bytes"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"golang.org/x/net/http/httpguts"

	"trellis/internal/sigv4"
)

// sent is a request as it goes over the wire: what a signature may cover.
type sent struct {
	method, path, query, host, payload string
	headers                            [][2]string
}

// Header implements sigv4.Headers.
func (s *sent) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(s.headers); i++ {
		if strings.EqualFold(s.headers[i][0], name) {
			return []byte(s.headers[i][1]), i + 1
		}
	}
	return nil, -1
}

// verify checks the signature as a service does.
func (s *sent) verify(v *sigv4.Verifier) bool {
	r := &sigv4.Request{Method: []byte(s.method), Path: []byte(s.path), Query: []byte(s.query), Host: []byte(s.host), Headers: s}
	signature, err := sigv4.Parse(r)
	return err == nil && signature.CheckDate() == nil && signature.AccessKeyID == "AKIDEXAMPLE" &&
		signature.Service == "vpc-lattice-svcs" && signature.Region == "us-west-2" &&
		v.Verify(r, signature, "secret", s.payload, sigv4.Encoded, sigv4.NormalizedEncoded, sigv4.Plain)
}

// ownFields is how many fields of a request are not headers.
const ownFields = 5

// fields returns what can be changed.
func (s *sent) fields() []*string {
	fields := []*string{&s.method, &s.path, &s.query, &s.host, &s.payload}
	for i := range s.headers {
		fields = append(fields, &s.headers[i][1])
	}
	return fields
}

// meansTheSame reports whether two requests differ only in what signing disregards: white space in headers, how the query
// is spelled, and empty and dot segments of the path.
func (s *sent) meansTheSame(o *sent) bool {
	return s.method == o.method && s.host == o.host && s.payload == o.payload &&
		(s.path == o.path || path.Clean("/"+s.path) == path.Clean("/"+o.path) && strings.HasSuffix(s.path, "/") == strings.HasSuffix(o.path, "/")) &&
		reflect.DeepEqual(parsedQuery(s.query), parsedQuery(o.query)) &&
		slices.EqualFunc(s.headers, o.headers, func(a, b [2]string) bool {
			return a[0] == b[0] && slices.Equal(strings.Fields(a[1]), strings.Fields(b[1]))
		})
}

func parsedQuery(query string) url.Values {
	values, err := url.ParseQuery(query)
	if err != nil {
		return url.Values{query: nil} // It equals itself alone.
	}
	for _, list := range values {
		slices.Sort(list)
	}
	return values
}

// unsigned are the headers that AWS's signer leaves out.
var unsigned = []string{"user-agent", "x-amzn-trace-id", "expect", "transfer-encoding"}

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
func awsSigned(t *testing.T, method, target, query, name, value string, token, presign bool) *sent {
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
	s := &sent{method: method, path: r.URL.EscapedPath(), query: r.URL.RawQuery, host: "shop.example.com:8080", payload: sigv4.UnsignedPayload}
	for name, values := range r.Header {
		for _, value := range values {
			s.headers = append(s.headers, [2]string{name, value})
		}
	}
	return s
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
		if !s.verify(&v) {
			t.Fatalf("what AWS's signer has signed is refused: %+v", s)
		}
		for i := range s.fields() {
			if i >= ownFields && slices.Contains(unsigned, strings.ToLower(s.headers[i-ownFields][0])) {
				continue
			}
			changed := *s
			changed.headers = slices.Clone(s.headers)
			field := changed.fields()[i]
			if *field == "" {
				continue
			}
			b := []byte(*field)
			bit := int(where) % (8 * len(b))
			b[bit/8] ^= 1 << (bit % 8)
			if bytes.ContainsAny(b, "\x00\r\n") {
				continue // It cannot be sent.
			}
			*field = string(b)
			if !changed.meansTheSame(s) && changed.verify(&v) {
				t.Errorf("the signature holds for another request: field %d, bit %d\n%+v\n%+v", i, bit, s, &changed)
			}
		}
	})
}
