package sigv4

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// lines is a list of header lines.
type lines [][2]string

func (l lines) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(l); i++ {
		if strings.EqualFold(l[i][0], name) {
			return []byte(l[i][1]), i + 1
		}
	}
	return nil, -1
}

// request makes a request from a method, a target and header lines, of which one is the host's.
func request(method, target string, headers lines) *Request {
	path, query, _ := strings.Cut(target, "?")
	host, _ := headers.Header("host", 0)
	return &Request{Method: []byte(method), Path: []byte(path), Query: []byte(query), Host: host, Headers: headers}
}

// vector is a request of AWS's test suite (testdata/README.md), signed in its headers and in its query.
type vector struct {
	Name string
	// Normalize says that the path was normalized before it was signed.
	Normalize     bool
	Header, Query string
	// OmitSessionToken says that the token was added after the query had been signed.
	OmitSessionToken bool
}

// readVector parses a text of the suite into a request and its body. It joins folded lines, as a receiver that takes them at all
// may do (RFC 9112 5.2); the data plane does not take them.
func readVector(text string) (r *Request, body string) {
	head, body, _ := strings.Cut(text, "\n\n")
	first, rest, _ := strings.Cut(head, "\n")
	method, rest1, _ := strings.Cut(first, " ")
	target := strings.TrimSuffix(rest1, " HTTP/1.1")
	var headers lines
	for line := range strings.SplitSeq(rest, "\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.HasPrefix(line, " ") {
			headers[len(headers)-1][1] += line
			continue
		}
		headers = append(headers, [2]string{name, value})
	}
	return request(method, target, headers), strings.TrimSuffix(body, "\n")
}

const vectorSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

// The whole suite, each request in the form in which it was signed. Services accept no such signatures: they take recent ones,
// for vpc-lattice-svcs alone, over unsigned payloads.
func TestPublishedVectorsVerify(t *testing.T) {
	text, err := os.ReadFile("testdata/signing-test-suite.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	count := map[Algorithm]int{}
	for _, tc := range vectors {
		form := Encoded
		if tc.Normalize {
			form = NormalizedEncoded
		}
		for place, text := range map[Place]string{InHeader: tc.Header, InQuery: tc.Query} {
			if text == "" {
				continue // The older form of the suite has nothing in queries.
			}
			r, body := readVector(text)
			if place == InQuery && tc.OmitSessionToken {
				// No service here leaves the token out of what is signed, so it must not hold with it.
				if s, err := Parse(r); err != nil || new(Verifier).Verify(r, s, vectorSecret, hashOf(body), form) {
					t.Errorf("%s: a token that is not signed is accepted, %v", tc.Name, err)
				}
				r.Query = regexp.MustCompile("&X-Amz-Security-Token=[^&]*").ReplaceAll(r.Query, nil)
			}
			s, err := Parse(r)
			if err != nil {
				t.Errorf("%s: %v", tc.Name, err)
				continue
			}
			count[s.Algorithm]++
			if s.Presigned != (place == InQuery) || strings.HasPrefix(tc.Name, "v4a/") != (s.Algorithm == ECDSA) || s.AccessKeyID != "AKIDEXAMPLE" || s.Service != "service" || s.CheckDate() != nil {
				t.Errorf("%s: the signature is %+v", tc.Name, s)
			}
			var v Verifier
			// Twice: with a derived key, then with the same one as it is remembered.
			for range 2 {
				if !v.Verify(r, s, vectorSecret, hashOf(body), form) {
					canonical := s.AppendCanonicalRequest(nil, r, hashOf(body), form)
					t.Errorf("%s: it is refused; the canonical request is\n%s\nand the string to sign\n%s", tc.Name, canonical, s.StringToSign(canonical))
				}
			}
			if v.Verify(r, s, vectorSecret+"x", hashOf(body), Encoded, NormalizedEncoded, Plain) || v.Verify(r, s, vectorSecret, UnsignedPayload, Encoded, NormalizedEncoded, Plain) {
				t.Errorf("%s: another secret, or another body, is accepted", tc.Name)
			}
		}
	}
	// 41 requests of SigV4 are signed in headers and 38 in the query, and of SigV4A 38 in both.
	if count[HMAC] != 79 || count[ECDSA] != 76 {
		t.Errorf("%v signatures were verified, want 79 of SigV4 and 76 of SigV4A", count)
	}
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// Signers that send a path encoded sign what they send, encoded no further.
func TestPathsOfVectorsMayBeSentEncoded(t *testing.T) {
	r := request("GET", "/example%20space/", lines{{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"},
		{"Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"}})
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if !new(Verifier).Verify(r, s, vectorSecret, hashOf(""), Plain) {
		t.Error("v4/get-space-normalized is refused")
	}
}

// From the tests of aws-sdk-go-v2 (internal/v4a) and aws-c-auth.
func TestPublishedKeyIsDerived(t *testing.T) {
	key, err := derivePrivateKey("AKISORANDOMAASORANDOM", "q+jcrXGc+0zWN6uzclKVhvMmUsIfRPa4rlRandom")
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(public), "0415d242ceebf8d8169fd6a8b5a746c41140414c3b07579038da06af89190fffcb0515242cedd82e94799482e4c0514b505afccf2c0c98d6a553bf539f424c5ec0"; got != want {
		t.Errorf("the key is\n%s, want\n%s", got, want)
	}
}

func TestFormOfASignatureIsCheckedByName(t *testing.T) {
	credential := "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
	const query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A/20150830/us-east-1/service/aws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=60&X-Amz-Signature=00"
	for name, tc := range map[string]struct {
		authorization, query, date, want string
	}{
		"no credential":         {authorization: "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", want: "Authorization header requires 'Credential' parameter."},
		"no headers":            {authorization: "AWS4-HMAC-SHA256 " + credential + ", Signature=00", want: "Authorization header requires 'SignedHeaders' parameter."},
		"no signature":          {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=host", want: "Authorization header requires 'Signature' parameter."},
		"another algorithm":     {authorization: "AWS4-HMAC-SHA1 " + credential + ", SignedHeaders=host, Signature=00", want: "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'"},
		"a short credential":    {authorization: "AWS4-HMAC-SHA256 Credential=A/service/aws4_request, SignedHeaders=host, Signature=00", want: "Credential must have the form"},
		"the host is not there": {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=x-amz-date, Signature=00", want: "'Host' must be a 'SignedHeader'"},
		"out of order":          {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=x-amz-date;host, Signature=00", want: "alphabetical order"},
		"capitals":              {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=Host;host, Signature=00", want: "in lower case"},
		"a name twice":          {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=host;host, Signature=00", want: "each name once"},
		"names without end":     {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=" + strings.Repeat("a;", 200) + "host, Signature=00", want: "at most 128 headers"},
		"no date":               {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=host, Signature=00", date: "-", want: "'X-Amz-Date' or a 'Date' header"},
		"a date with fractions": {authorization: "AWS4-HMAC-SHA256 " + credential + ", SignedHeaders=host, Signature=00", date: "20150830T123600.5Z", want: "'basic format'"},
		"no life":               {query: strings.Replace(query, "X-Amz-Expires=60", "", 1), want: "must include 'X-Amz-Expires'"},
		"a long life":           {query: strings.Replace(query, "X-Amz-Expires=60", "X-Amz-Expires=604801", 1), want: "between 1 and 604800"},
		"a signature twice":     {query: query + "&X-Amz-Signature=11", want: "'X-Amz-Signature' twice"},
		"a query without end":   {query: query + strings.Repeat("&a", 3000), want: "at most 2048 parameters"},
		"an escaped line break": {query: strings.Replace(query, "AWS4-HMAC-SHA256", "AWS4%0Ax", 1), want: "'AWS4?x'"},
		"only a credential":     {query: "X-Amz-Credential=A", want: "must include 'X-Amz-Algorithm'"},
	} {
		headers := lines{{"Host", "h"}}
		if tc.authorization != "" {
			headers = append(headers, [2]string{"Authorization", tc.authorization})
		}
		if tc.date == "" {
			tc.date = "20150830T123600Z"
		}
		if tc.date != "-" {
			headers = append(headers, [2]string{"X-Amz-Date", tc.date})
		}
		_, err := Parse(request("GET", "/?"+tc.query, headers))
		if err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 300 {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestSignatureIsFoundInTheHeaderBeforeTheQuery(t *testing.T) {
	for _, tc := range []struct {
		authorization, query string
		want                 Place
	}{
		{"", "", Nowhere},
		{"Bearer AWS4-", "", Nowhere},
		{"Basic YTpi", "X-Amz-Meta=1", Nowhere},
		{"AWS4-HMAC-SHA256 x", "", InHeader},
		{"AWS4-UNKNOWN", "X-Amz-Signature=1", InHeader},
		{"Bearer x", "a=b&X-Amz-Signature=1", InQuery},
		{"", "X-Amz-Credential", InQuery},
	} {
		if got := PlaceOf(request("GET", "/?"+tc.query, lines{{"Host", "h"}, {"Authorization", tc.authorization}})); got != tc.want {
			t.Errorf("%q and ?%s: %d, want %d", tc.authorization, tc.query, got, tc.want)
		}
	}
}

func TestPathsAreNormalizedAsSignersDoIt(t *testing.T) {
	for path, want := range map[string]string{
		"/": "/", "//": "/", "/.": "/", "/..": "/", "/a": "/a", "/a/": "/a/", "/a/.": "/a", "/a/..": "/", "/a/../b": "/b", "/a//b/./c": "/a/b/c",
		"/a/...": "/a/...", "/.a": "/.a", "/../../a": "/a", "/a/b/..": "/a", "/a/b/../": "/a/",
	} {
		if got := normalize([]byte(path)); string(got) != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

func TestRememberedKeysAreBounded(t *testing.T) {
	var c keyCache[int]
	for i := range 3 * maxKeys {
		c.keep([]byte{byte(i), byte(i >> 8)}, i)
		if got, ok := c.get([]byte{byte(i), byte(i >> 8)}); !ok || got != i {
			t.Fatalf("key %d is %d, %t", i, got, ok)
		}
		if n := len(*c.keys.Load()); n > maxKeys {
			t.Fatalf("%d keys are remembered", n)
		}
	}
}

func TestSignatureHasOneForm(t *testing.T) {
	key, err := derivePrivateKey("A", "s")
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", "/", lines{{"Host", "h"}})
	s := &Signature{Algorithm: ECDSA, Credential: Credential{AccessKeyID: "A", Date: "20150830", Service: "service"}, SignedHeaders: []string{"host"}}
	sum := sha256.Sum256([]byte(s.StringToSign(s.AppendCanonicalRequest(nil, r, UnsignedPayload, Encoded))))
	signature, err := ecdsa.SignASN1(nil, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	var v Verifier
	s.Hex = hex.EncodeToString(signature)
	if !v.Verify(r, s, "s", UnsignedPayload, Encoded) {
		t.Error("the signature is refused")
	}
	for name, changed := range map[string]string{
		"capitals":    strings.ToUpper(s.Hex),
		"more bytes":  s.Hex + "00",
		"no digits":   "zz" + s.Hex[2:],
		"odd":         s.Hex[1:],
		"none at all": "",
	} {
		s.Hex = changed
		if v.Verify(r, s, "s", UnsignedPayload, Encoded) {
			t.Errorf("a signature with %s is accepted", name)
		}
	}
}

func TestCookiesThatHTTP2SplitsAreJoined(t *testing.T) {
	r := request("GET", "/", lines{{"Cookie", "a=1"}, {"Cookie", "b=2"}})
	if got := appendHeader(nil, r, "cookie"); !bytes.Equal(got, []byte("a=1; b=2")) {
		t.Errorf("the value is %q, want a=1; b=2", got)
	}
}
