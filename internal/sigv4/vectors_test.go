package sigv4

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
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

const (
	vectorSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	vectorToken  = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"
	stsToken     = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
	unreserved   = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	emptyHash    = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	formHash     = "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
)

// vectors are AWS's published ones, by their names in the repository awslabs/aws-c-auth (tests/aws-signing-test-suite).
var vectors = []struct {
	name, method, target string
	headers              lines // but for the host, the date, the Region set and the signature
	signed, signature    string
	algorithm            Algorithm
	form                 PathForm
	payload              string
}{
	{"v4/get-header-key-duplicate", "GET", "/", lines{{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}}, "host;my-header1;x-amz-date", "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea", HMAC, Encoded, emptyHash},
	{"v4/get-header-value-order", "GET", "/", lines{{"My-Header1", "value4"}, {"My-Header1", "value1"}, {"My-Header1", "value3"}, {"My-Header1", "value2"}}, "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01", HMAC, Encoded, emptyHash},
	{"v4/get-header-value-trim", "GET", "/", lines{{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}, "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736", HMAC, Encoded, emptyHash},
	{"v4/get-relative-relative-normalized", "GET", "/example1/example2/../..", nil, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", HMAC, NormalizedEncoded, emptyHash},
	{"v4/get-slash-dot-slash-unnormalized", "GET", "/./", nil, "host;x-amz-date", "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145", HMAC, Encoded, emptyHash},
	{"v4/get-slashes-normalized", "GET", "//example//", nil, "host;x-amz-date", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84", HMAC, NormalizedEncoded, emptyHash},
	{"v4/get-space-normalized", "GET", "/example space/", nil, "host;x-amz-date", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741", HMAC, Encoded, emptyHash},
	{"v4/get-space-normalized, as it is sent", "GET", "/example%20space/", nil, "host;x-amz-date", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741", HMAC, Plain, emptyHash},
	{"v4/get-unreserved", "GET", "/" + unreserved, nil, "host;x-amz-date", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f", HMAC, Encoded, emptyHash},
	{"v4/get-utf8", "GET", "/\u1234", nil, "host;x-amz-date", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85", HMAC, Encoded, emptyHash},
	{"v4/get-vanilla-query-order-encoded", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", nil, "host;x-amz-date", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac", HMAC, Encoded, emptyHash},
	{"v4/get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", nil, "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", HMAC, Encoded, emptyHash},
	{"v4/get-vanilla-query-unreserved", "GET", "/?" + unreserved + "=" + unreserved, nil, "host;x-amz-date", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197", HMAC, Encoded, emptyHash},
	{"v4/get-vanilla-utf8-query", "GET", "/?\u1234=bar", nil, "host;x-amz-date", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04", HMAC, Encoded, emptyHash},
	{"v4/get-vanilla-utf8-query, presigned", "GET", "/?\u1234=bar&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600", nil, "", "", HMAC, Encoded, emptyHash},
	{"v4/get-vanilla-with-session-token", "GET", "/", lines{{"X-Amz-Security-Token", vectorToken}}, "host;x-amz-date;x-amz-security-token", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8", HMAC, Encoded, emptyHash},
	{"v4/post-sts-header-before", "POST", "/", lines{{"X-Amz-Security-Token", stsToken}}, "host;x-amz-date;x-amz-security-token", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead", HMAC, Encoded, emptyHash},
	{"v4/post-x-www-form-urlencoded", "POST", "/", lines{{"Content-Type", "application/x-www-form-urlencoded"}, {"Content-Length", "13"}, {"x-amz-content-sha256", formHash}}, "content-length;content-type;host;x-amz-content-sha256;x-amz-date", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b", HMAC, Encoded, formHash},
	{"v4a/get-space-normalized", "GET", "/example space/", nil, "host;x-amz-date;x-amz-region-set", "3044022010ed419c059a306809f13ed114b7be5bc55bba81b65c37673c47be6e7bcb93100220233159500c619a3793b8ab02766a6be57059c2fe51fc73894591a7536aac24f3", ECDSA, NormalizedEncoded, emptyHash},
	{"v4a/get-slash-dot-slash-unnormalized", "GET", "/./", nil, "host;x-amz-date;x-amz-region-set", "304502210087f0f112b182e9f2068c9d4b53aace25001e0baade911f2cdad2bf87c247b7e8022057a3f49c0ee454f0c39a997709a37bb3e8f72cac270983241ced0528beaa29b0", ECDSA, Encoded, emptyHash},
	{"v4a/get-relative-normalized", "GET", "/example/..", nil, "host;x-amz-date;x-amz-region-set", "3046022100e4dcadee13cc9bc5bd1d61014e503af3fb8ade2675abb4d57b3dc7d084338ab70221009b801b82caff74bca1f553edaad1d259450ac9d3f1b05512de3d3b12312874a2", ECDSA, NormalizedEncoded, emptyHash},
	{"v4a/get-slash-pointless-dot-unnormalized, presigned", "GET", "/./example?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Region-Set=us-east-1&X-Amz-Signature=30460221008216976f00d7c25835f6049f140a02a2305192a5255061b6fc86d0c4839b34710221008ade71fe914ae64e410c55ee2d7f5148d32680784cf01adaffb18749d200d559", nil, "", "", ECDSA, Encoded, emptyHash},
	{"v4a/get-vanilla-query-order-encoded, presigned", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1&X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Region-Set=us-east-1&X-Amz-Signature=3046022100e25504f18aab11f2f511664a9e6b98f522b9c8bd95ad0c7502b56ff4248d2dba022100c00ee21af060180bac879294598c03ba8523367daf1edf88688923a21f26e0df", nil, "", "", ECDSA, Encoded, emptyHash},
}

func TestPublishedVectorsVerify(t *testing.T) {
	var v Verifier
	for _, tc := range vectors {
		t.Run(tc.name, func(t *testing.T) {
			headers := append(lines{{"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}}, tc.headers...)
			scope := "20150830/us-east-1/service/aws4_request"
			if tc.algorithm == ECDSA {
				headers = append(headers, [2]string{"X-Amz-Region-Set", "us-east-1"})
				scope = "20150830/service/aws4_request"
			}
			if tc.signature != "" {
				headers = append(headers, [2]string{"Authorization", string(tc.algorithm) + " Credential=AKIDEXAMPLE/" + scope + ", SignedHeaders=" + tc.signed + ", Signature=" + tc.signature})
			}
			r := request(tc.method, tc.target, headers)
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if s.Presigned != (tc.signature == "") || s.Algorithm != tc.algorithm || s.AccessKeyID != "AKIDEXAMPLE" || s.Service != "service" || s.CheckDate() != nil {
				t.Errorf("the signature is %+v", s)
			}
			// Twice: with a key that is derived, and with the same that is remembered.
			for range 2 {
				if !v.Verify(r, s, vectorSecret, tc.payload, tc.form) {
					canonical := s.AppendCanonicalRequest(nil, r, tc.payload, tc.form)
					t.Errorf("it is refused; the canonical request is\n%s\nand the string to sign\n%s", canonical, s.StringToSign(canonical))
				}
			}
			if v.Verify(r, s, vectorSecret+"x", tc.payload, Encoded, NormalizedEncoded, Plain) || v.Verify(r, s, vectorSecret, UnsignedPayload, Encoded, NormalizedEncoded, Plain) {
				t.Error("another secret, or another body, is accepted")
			}
		})
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

func TestPlaceOfASignature(t *testing.T) {
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
		"a rest":      s.Hex + "00",
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

func TestCookiesThatHTTP2SplitsAreOne(t *testing.T) {
	r := request("GET", "/", lines{{"Cookie", "a=1"}, {"Cookie", "b=2"}})
	if got := appendHeader(nil, r, "cookie"); !bytes.Equal(got, []byte("a=1; b=2")) {
		t.Errorf("the value is %q", got)
	}
}
