package clients_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/aws-http-auth/credentials"
	"github.com/aws/smithy-go/aws-http-auth/sigv4a"
	httpauth "github.com/aws/smithy-go/aws-http-auth/v4"

	"trellis/internal/caller"
	"trellis/internal/principal"
	"trellis/internal/sigv4"
	"trellis/internal/sigv4/sigv4test"
	"trellis/test/trellistest"
)

// signedRequests is how many random requests each way of signing is tried with.
const signedRequests = 1000

// signers are principals by their access key ids.
type signers map[string]*principal.Principal

func (s signers) Principal(accessKeyID string) (*principal.Principal, bool) {
	p, ok := s[accessKeyID]
	return p, ok
}

// signatureServer answers 200 to requests whose signature is correct, and checks that no signature is valid for a request
// that differs in one bit.
type signatureServer struct {
	t        *testing.T
	verifier *caller.Verifier
	url      string

	mu       sync.Mutex
	accepted []acceptedRequest
	now      time.Time // of the verifier; zero while requests come
}

type acceptedRequest struct {
	*sigv4test.Request
	signature *sigv4.Signature
	at        time.Time
}

func startSignatureServer(t *testing.T) *signatureServer {
	t.Helper()
	s := &signatureServer{t: t}
	s.verifier = caller.NewVerifier(caller.Config{Explain: true, Now: s.time, Principals: signers{
		"AKIDEXAMPLE": {AccessKeyID: "AKIDEXAMPLE", SecretKey: "secret"},
		"ASIDEXAMPLE": {AccessKeyID: "ASIDEXAMPLE", SecretKey: "secret", SessionToken: "to/ke+n="},
	}})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *signatureServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	received := sigv4test.Received(r)
	who, err := s.verifier.Identify(received.View(), "us-west-2")
	if err != nil || who == nil {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "%v: %+v", who, err)
		return
	}
	signature, err := sigv4.Parse(received.View())
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = append(s.accepted, acceptedRequest{received, signature, time.Now()})
}

func (s *signatureServer) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now.IsZero() {
		return time.Now()
	}
	return s.now
}

// check checks how many requests were accepted, and that no signature holds for a request that differs in one bit: in a bit
// of each byte for the first request, in a random one for the others. It does so after the last request, for the clients would not
// wait. Package caller tries each bit of each form; here, that took a quarter of all CPU time of all tests.
func (s *signatureServer) check(t *testing.T, want int) {
	t.Helper()
	s.mu.Lock()
	accepted := s.accepted
	s.mu.Unlock()
	if len(accepted) != want {
		t.Errorf("%d of %d requests were accepted", len(accepted), want)
	}
	refused := 0
	for i, r := range accepted {
		s.mu.Lock()
		s.now = r.at
		s.mu.Unlock()
		at := rand.Uint32()
		for changed := range r.Changed(r.signature, func(bit, bits int) bool { return i == 0 && bit%8 == int(at%8) || bit == int(at)%bits }) {
			if _, err := s.verifier.Identify(changed.View(), "us-west-2"); err == nil {
				t.Errorf("the signature holds for another request:\n%+v\n%+v", r.Request, changed)
			}
			refused++
		}
	}
	t.Logf("%d requests were accepted, %d that differ in one bit were refused", len(accepted), refused)
}

func TestSignaturesOfRealSignersAreAccepted(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	trellistest.Install(t, "venv.sh")
	trellistest.Install(t, "node_modules.sh")
	seed := strconv.Itoa(rand.IntN(1 << 30))
	t.Logf("the seed is %s", seed)
	run := func(way string, command ...string) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := startSignatureServer(t)
			_, name, _ := strings.Cut(way, " ")
			args := append(command[1:], s.url, strconv.Itoa(signedRequests), seed, name)
			if stdout, stderr, err := tryRun(t.Context(), []string{"BOTO_DISABLE_CRT=false"}, command[0], args...); err != nil {
				t.Errorf("%v\n%.5000s%s", err, stdout, stderr)
			}
			s.check(t, signedRequests)
		})
	}
	for _, way := range []string{"SigV4", "SigV4-presigned", "CRT-SigV4", "CRT-SigV4-presigned", "CRT-SigV4A", "CRT-SigV4A-presigned"} {
		run("botocore "+way, filepath.Join(root, ".venv/bin/python"), "python/signer.py")
	}
	for _, way := range []string{"SigV4", "SigV4-presigned"} {
		run("JavaScript "+way, "node", "javascript/signer.mjs")
	}
	t.Run("curl", curlSigns)
	t.Run("Go SigV4", goSigns)
	t.Run("Go SigV4A", goSignsAsymmetrically)
}

// randomText returns a text of characters that have a meaning in URLs, and others.
func randomText(longest int) string {
	alphabet := []rune("abcXYZ019 -._~!$&'()*+,;=:@/%?#\"<>[]^`{|}äß水𝄞")
	text := make([]rune, rand.IntN(longest+1))
	for i := range text {
		text[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(text)
}

func randomMethod() string {
	methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH"}
	return methods[rand.IntN(len(methods))]
}

// randomRequest returns a request as programs in Go make one.
func randomRequest(t *testing.T, base string) *http.Request {
	t.Helper()
	path := ""
	for range 1 + rand.IntN(4) {
		path += "/" + url.PathEscape(randomText(8))
	}
	query := url.Values{}
	for range rand.IntN(6) {
		query.Add(randomText(6), randomText(8))
	}
	r, err := http.NewRequestWithContext(t.Context(), randomMethod(), base+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-App", "a  "+strings.Trim(url.PathEscape(randomText(6)), " ")+"  b")
	r.Header.Set("X-Amz-Content-Sha256", sigv4.UnsignedPayload)
	return r
}

// sendAll sends requests that a function has signed.
func sendAll(t *testing.T, sign func(r *http.Request, n int) error) {
	t.Parallel()
	s := startSignatureServer(t)
	for n := range signedRequests {
		r := randomRequest(t, s.url)
		if err := sign(r, n); err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s %v is answered %s %s, %v", r.Method, r.URL, r.Header, res.Status, body, err)
		}
	}
	s.check(t, signedRequests)
}

func goSigns(t *testing.T) {
	signer := v4.NewSigner()
	sendAll(t, func(r *http.Request, n int) error {
		keys := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
		if n%2 == 0 {
			keys = aws.Credentials{AccessKeyID: "ASIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "to/ke+n="}
		}
		if n%4 < 2 {
			return signer.SignHTTP(t.Context(), keys, r, sigv4.UnsignedPayload, "vpc-lattice-svcs", "us-west-2", time.Now())
		}
		query := r.URL.Query()
		query.Set("X-Amz-Expires", "300")
		r.URL.RawQuery = query.Encode()
		signed, headers, err := signer.PresignHTTP(t.Context(), keys, r, sigv4.UnsignedPayload, "vpc-lattice-svcs", "us-west-2", time.Now())
		if err != nil {
			return err
		}
		r.URL, err = url.Parse(signed)
		headers.Del("Host")
		r.Header = headers
		return err
	})
}

func goSignsAsymmetrically(t *testing.T) {
	signers := [2]*sigv4a.Signer{}
	for i := range signers {
		signers[i] = sigv4a.New(func(o *httpauth.SignerOptions) { o.HeaderRules = everyHeader{} })
	}
	sendAll(t, func(r *http.Request, n int) error {
		r.Header.Set("X-App", strings.Join(strings.Fields(r.Header.Get("X-App")), " ")) // This signer leaves spaces as they are.
		in := &sigv4a.SignRequestInput{
			Request: r, PayloadHash: []byte(sigv4.UnsignedPayload), Service: "vpc-lattice-svcs", RegionSet: []string{"us-*", "eu-west-1"}, Time: time.Now(),
			Credentials: credentials.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"},
		}
		if n%2 == 0 {
			in.Credentials = credentials.Credentials{AccessKeyID: "ASIDEXAMPLE", SecretAccessKey: "secret", SessionToken: "to/ke+n="}
		}
		if n%4 >= 2 {
			in.SignatureType = httpauth.SignatureTypeQueryString
			query := r.URL.Query()
			query.Set("X-Amz-Expires", "300")
			r.URL.RawQuery = query.Encode()
		}
		return signers[n%2].SignRequest(in)
	})
}

// everyHeader makes a signer sign all headers.
type everyHeader struct{}

func (everyHeader) IsSigned(string) bool { return true }

// curlSigns makes curl sign requests. curl signs a path and a query as they are given, so they are given in AWS's canonical
// form, which current versions of curl do not know.
func curlSigns(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	s := startSignatureServer(t)
	const batch = 50
	for range signedRequests / batch {
		var config strings.Builder
		for i := range batch {
			if i > 0 {
				config.WriteString("next\n")
			}
			writeCurlRequest(&config, s.url)
		}
		ctx, cancel := context.WithTimeout(t.Context(), programLimit)
		program := exec.CommandContext(ctx, "curl", "--config", "-")
		program.Stdin = strings.NewReader(config.String())
		out, err := program.CombinedOutput()
		cancel()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(out) > 0 {
			t.Errorf("%.3000s", out)
		}
	}
	s.check(t, signedRequests)
}

func writeCurlRequest(config *strings.Builder, base string) {
	const plain = "abcXYZ019-._~"
	word := func(longest int) string {
		b := make([]byte, 1+rand.IntN(longest))
		for i := range b {
			b[i] = plain[rand.IntN(len(plain))]
		}
		return string(b)
	}
	path := ""
	for range 1 + rand.IntN(4) {
		path += "/a" + word(8)
	}
	var query []string
	for range rand.IntN(5) {
		query = append(query, word(6)+"="+word(8))
	}
	// By name and then value: not as they are joined.
	slices.SortFunc(query, func(a, b string) int {
		return strings.Compare(strings.Replace(a, "=", "\x00", 1), strings.Replace(b, "=", "\x00", 1))
	})
	fmt.Fprintf(config, "url = \"%s%s?%s\"\nrequest = %s\nsilent\nshow-error\npath-as-is\naws-sigv4 = \"aws:amz:us-west-2:vpc-lattice-svcs\"\nuser = \"AKIDEXAMPLE:secret\"\n"+
		"header = \"x-amz-content-sha256: UNSIGNED-PAYLOAD\"\nheader = \"X-App: %s\"\n", base, path, strings.Join(query, "&"), randomMethod(), word(9))
}
