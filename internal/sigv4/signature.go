package sigv4

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"trellis/internal/excerpt"
)

// Algorithm is an algorithm for signatures, by its name in requests.
type Algorithm string

// The algorithms. HMAC is Signature Version 4, ECDSA Signature Version 4A.
const (
	HMAC  Algorithm = "AWS4-HMAC-SHA256"
	ECDSA Algorithm = "AWS4-ECDSA-P256-SHA256"
)

// UnsignedPayload replaces the hash of the body when the body is not signed.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// TimeFormat is the form of X-Amz-Date.
const TimeFormat = "20060102T150405Z"

const (
	// maxSignedHeaders is more than any honest request has. It bounds the work for a request that lists many names.
	maxSignedHeaders = 128
	// maxParameters bounds the work for a query, whose parameters are sorted.
	maxParameters = 2048
	// maxExpires is the longest life of a presigned request in seconds: a week (SigV4, query parameters).
	maxExpires = 604800
	// maxSkew is how far a request's time may be from this machine's (SigV4: 5 minutes).
	maxSkew = 5 * time.Minute
)

// Credential names the key of a signature, and its day, Region and service.
type Credential struct {
	AccessKeyID, Date, Region, Service string
}

// Signature is what a request says about its own signature.
type Signature struct {
	Algorithm Algorithm
	// Credential's Region is empty with ECDSA, where RegionSet says for which Regions the request is meant.
	Credential
	RegionSet string
	// Presigned says that the signature is in the query.
	Presigned bool
	Time      time.Time
	// Expires is how long a presigned request lives.
	Expires time.Duration
	// SignedHeaders are in lower case and in order.
	SignedHeaders []string
	// Hex is the signature itself.
	Hex string
	// SessionToken belongs to temporary credentials.
	SessionToken string
}

// MalformedError says what is wrong with the form of a signature, in AWS's words where they are known.
type MalformedError struct{ Message string }

func (e *MalformedError) Error() string { return e.Message }

func malformed(format string, args ...any) error {
	return &MalformedError{fmt.Sprintf(format, args...)}
}

// Place is where a request carries its signature.
type Place int

// The places. Nowhere means that it is not signed.
const (
	Nowhere Place = iota
	InHeader
	InQuery
)

// scheme begins the names of all of AWS's algorithms. Other values of the Authorization header are ignored.
const scheme = "AWS4-"

// PlaceOf returns where a request carries a signature. One in the header takes precedence over one in the query, which it covers
// like the rest of the query.
func PlaceOf(r *Request) Place {
	if bytes.HasPrefix(r.header("authorization"), []byte(scheme)) {
		return InHeader
	}
	if bytes.Contains(r.Query, []byte("X-Amz-")) {
		for name := range parameters(r.Query) {
			switch string(name) {
			case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature":
				return InQuery
			}
		}
	}
	return Nowhere
}

// Parse reads the signature of a request that has one. Errors are of the type *MalformedError.
func Parse(r *Request) (*Signature, error) {
	if bytes.Count(r.Query, []byte("&")) >= maxParameters {
		return nil, malformed("The query must have at most %d parameters.", maxParameters)
	}
	switch PlaceOf(r) {
	case InHeader:
		return parseHeader(r)
	case InQuery:
		return parseQuery(r)
	default:
		return nil, malformed("The request carries no signature.")
	}
}

func parseHeader(r *Request) (*Signature, error) {
	authorization := string(r.header("authorization"))
	if _, next := r.Headers.Header("authorization", 0); next >= 0 {
		if _, next = r.Headers.Header("authorization", next); next >= 0 {
			return nil, malformed("The request has more than one Authorization header.")
		}
	}
	name, rest, _ := strings.Cut(authorization, " ")
	s := &Signature{}
	if err := s.setAlgorithm(name); err != nil {
		return nil, err
	}
	var credential, signedHeaders string
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.Trim(part, " "), "=")
		switch key {
		case "Credential":
			credential = value
		case "SignedHeaders":
			signedHeaders = value
		case "Signature":
			s.Hex = value
		}
	}
	for _, part := range [][2]string{{"Credential", credential}, {"SignedHeaders", signedHeaders}, {"Signature", s.Hex}} {
		if part[1] == "" {
			return nil, malformed("Authorization header requires '%s' parameter.", part[0])
		}
	}
	if err := s.setCredential(credential); err != nil {
		return nil, err
	}
	if err := s.setSignedHeaders(signedHeaders); err != nil {
		return nil, err
	}
	s.SessionToken = string(r.header("x-amz-security-token"))
	s.RegionSet = string(r.header("x-amz-region-set"))
	var err error
	if s.Time, err = requestTime(r); err != nil {
		return nil, err
	}
	return s, nil
}

// requestTime returns when a request with a signature in its header was signed.
func requestTime(r *Request) (time.Time, error) {
	if date := r.header("x-amz-date"); len(date) > 0 {
		if at, ok := parseTime(string(date)); ok {
			return at, nil
		}
		return time.Time{}, malformed("Date must be in ISO-8601 'basic format'. Got '%s'.", shown(string(date)))
	}
	const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110 5.6.7
	at, err := time.Parse(httpDate, string(r.header("date")))
	if err != nil {
		return time.Time{}, malformed("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
	}
	return at.UTC(), nil
}

// The parameters in which a presigned request carries its signature. The first ones are required.
const (
	queryAlgorithm = iota
	queryCredential
	querySignature
	querySignedHeaders
	queryDate
	queryExpires
	requiredParameters
	querySecurityToken = iota - 1
	queryRegionSet
	knownParameters
)

func parameterName(i int) string {
	return [...]string{
		"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires",
		"X-Amz-Security-Token", "X-Amz-Region-Set",
	}[i]
}

func parseQuery(r *Request) (*Signature, error) {
	var values [knownParameters]string
	var seen [knownParameters]bool
	for name, value := range parameters(r.Query) {
		if !bytes.HasPrefix(name, []byte("X-Amz-")) {
			continue
		}
		for i := range knownParameters {
			if string(name) != parameterName(i) {
				continue
			}
			if seen[i] {
				return nil, malformed("The query has the parameter '%s' twice.", parameterName(i))
			}
			values[i], seen[i] = unescape(value), true
		}
	}
	for i := range requiredParameters {
		if values[i] == "" {
			return nil, malformed("AWS query-string parameters must include '%s'. Re-examine the query-string parameters.", parameterName(i))
		}
	}
	s := &Signature{
		Presigned: true, Hex: values[querySignature], SessionToken: values[querySecurityToken], RegionSet: values[queryRegionSet],
	}
	if err := s.setAlgorithm(values[queryAlgorithm]); err != nil {
		return nil, err
	}
	if err := s.setCredential(values[queryCredential]); err != nil {
		return nil, err
	}
	if err := s.setSignedHeaders(values[querySignedHeaders]); err != nil {
		return nil, err
	}
	var ok bool
	if s.Time, ok = parseTime(values[queryDate]); !ok {
		return nil, malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\".")
	}
	seconds, err := strconv.Atoi(values[queryExpires])
	if err != nil || seconds < 1 || seconds > maxExpires {
		return nil, malformed("X-Amz-Expires must be between 1 and %d seconds.", maxExpires)
	}
	s.Expires = time.Duration(seconds) * time.Second
	return s, nil
}

func (s *Signature) setAlgorithm(name string) error {
	switch s.Algorithm = Algorithm(name); s.Algorithm {
	case HMAC, ECDSA:
		return nil
	}
	return malformed("Unsupported AWS 'algorithm': '%s'. It must be %s or %s.", shown(name), HMAC, ECDSA)
}

func (s *Signature) setCredential(text string) error {
	var ok bool
	if s.Credential, ok = parseCredential(text, s.Algorithm); !ok {
		form := "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"
		if s.Algorithm == ECDSA {
			form = "<YOUR-AKID>/YYYYMMDD/SERVICE/aws4_request"
		}
		return malformed("Credential must have the form %s.", form)
	}
	return nil
}

// parseCredential parses "AKID/20260102/us-west-2/vpc-lattice/aws4_request". The key id may itself contain slashes, so the
// parts are counted from the end.
func parseCredential(text string, algorithm Algorithm) (c Credential, ok bool) {
	rest, ok := strings.CutSuffix(text, "/"+scopeEnd)
	if !ok {
		return Credential{}, false
	}
	parts := []*string{&c.Service, &c.Region, &c.Date}
	if algorithm == ECDSA {
		parts = []*string{&c.Service, &c.Date} // The scope of SigV4A has no Region.
	}
	for _, part := range parts {
		at := strings.LastIndexByte(rest, '/')
		if at < 0 {
			return Credential{}, false
		}
		rest, *part = rest[:at], rest[at+1:]
	}
	c.AccessKeyID = rest
	return c, true
}

// NamedCredential returns the credential that a request names, even if the rest of its signature is malformed.
func NamedCredential(r *Request) (Credential, bool) {
	if authorization := string(r.header("authorization")); authorization != "" {
		algorithm, _, _ := strings.Cut(authorization, " ")
		for _, part := range strings.FieldsFunc(authorization, func(c rune) bool { return c == ' ' || c == ',' }) {
			if value, ok := strings.CutPrefix(part, "Credential="); ok {
				return parseCredential(value, Algorithm(algorithm))
			}
		}
		return Credential{}, false
	}
	var text string
	algorithm := HMAC
	for name, value := range parameters(r.Query) {
		switch string(name) {
		case "X-Amz-Credential":
			text = unescape(value)
		case "X-Amz-Algorithm":
			algorithm = Algorithm(value)
		}
	}
	return parseCredential(text, algorithm)
}

func (s *Signature) setSignedHeaders(text string) error {
	if strings.Count(text, ";") >= maxSignedHeaders {
		return malformed("SignedHeaders must name at most %d headers.", maxSignedHeaders)
	}
	s.SignedHeaders = strings.Split(text, ";")
	if !slices.IsSorted(s.SignedHeaders) {
		return malformed("SignedHeaders must be in alphabetical order.")
	}
	for i, name := range s.SignedHeaders {
		if name == "" || name != strings.ToLower(name) || i > 0 && name == s.SignedHeaders[i-1] {
			return malformed("SignedHeaders must have each name once, in lower case.")
		}
	}
	if !s.Signs("host") {
		return malformed("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// CheckDate checks that the credential is of the day on which the request was signed. The error is a *MalformedError.
func (s *Signature) CheckDate() error {
	var stamp [len(TimeFormat)]byte
	if day := appendTime(stamp[:0], s.Time)[:len("20060102")]; s.Date != string(day) {
		return malformed("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'.", shown(s.Date), day)
	}
	return nil
}

// Signs reports whether a header, in lower case, is covered by the signature.
func (s *Signature) Signs(header string) bool {
	_, found := slices.BinarySearch(s.SignedHeaders, header)
	return found
}

// Validity returns the beginning and the end of the time in which a request is accepted.
func (s *Signature) Validity() (from, until time.Time) {
	life := maxSkew
	if s.Presigned {
		life = s.Expires // As at AWS, nothing is added for clocks that differ.
	}
	return s.Time.Add(-maxSkew), s.Time.Add(life)
}

// parseTime parses X-Amz-Date. It accepts one text for each time, since the time is signed and its text may not be. time.Parse
// takes four times as long.
func parseTime(text string) (time.Time, bool) {
	var n [14]int // The digits.
	if len(text) != len(TimeFormat) || text[8] != 'T' || text[15] != 'Z' {
		return time.Time{}, false
	}
	for i, digits := 0, text[:8]+text[9:15]; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return time.Time{}, false
		}
		n[i] = int(digits[i] - '0')
	}
	pair := func(i int) int { return 10*n[i] + n[i+1] }
	at := time.Date(100*pair(0)+pair(2), time.Month(pair(4)), pair(6), pair(8), pair(10), pair(12), 0, time.UTC)
	var stamp [len(TimeFormat)]byte
	return at, string(appendTime(stamp[:0], at)) == text // Otherwise the date does not exist, as a month with too few days.
}

// appendTime appends a time in UTC, of a year with four digits, as TimeFormat has it.
func appendTime(b []byte, at time.Time) []byte {
	at = at.UTC()
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	for _, n := range [...]int{year / 100, year % 100, int(month), day} {
		b = append(b, byte('0'+n/10), byte('0'+n%10))
	}
	b = append(b, 'T')
	for _, n := range [...]int{hour, minute, second} {
		b = append(b, byte('0'+n/10), byte('0'+n%10))
	}
	return append(b, 'Z')
}

// parameters yields the names and values of a query as they were sent. The names that matter here need no encoding, so signers
// never encode them.
func parameters(query []byte) func(yield func(name, value []byte) bool) {
	return func(yield func(name, value []byte) bool) {
		for len(query) > 0 {
			var part []byte
			part, query, _ = bytes.Cut(query, []byte("&"))
			name, value, _ := bytes.Cut(part, []byte("="))
			if len(part) > 0 && !yield(name, value) {
				return
			}
		}
	}
}

// unescape decodes a query component. It returns what is not a valid encoding unchanged; the signature does not match then, so
// the request is refused.
func unescape(s []byte) string {
	if decoded, err := url.QueryUnescape(string(s)); err == nil {
		return decoded
	}
	return string(s)
}

// shown returns a client's text in a form that neither fills an error text nor breaks its lines.
func shown(s string) string {
	s = excerpt.Of(s, excerpt.Shown)
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return '?'
		}
		return c
	}, s)
}
