package identity

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// algorithm is the only one that is accepted.
const algorithm = "AWS4-HMAC-SHA256"

// amzDateFormat is the time in X-Amz-Date.
const amzDateFormat = "20060102T150405Z"

// unsignedPayload stands for the body's hash when the body is not signed.
const unsignedPayload = "UNSIGNED-PAYLOAD"

// signature is what a request says of its own signature, from the Authorization header or from the query.
type signature struct {
	credential
	Time          time.Time
	Expires       time.Duration
	SignedHeaders []string
	Hex           string
	SessionToken  string
	presigned     bool
}

// parseSignature reads a request's signature. Errors are *Error.
func parseSignature(r *http.Request) (signature, error) {
	if authorization := r.Header.Get("Authorization"); authorization != "" {
		return parseAuthorization(r, authorization)
	}
	if query := r.URL.Query(); query.Has("X-Amz-Signature") || query.Has("X-Amz-Credential") {
		return parsePresigned(query)
	}
	return signature{}, refuse(codeMissingToken, "The request is not signed. Sign it with AWS Signature Version 4.")
}

func parseAuthorization(r *http.Request, authorization string) (signature, error) {
	name, rest, _ := strings.Cut(authorization, " ")
	if name != algorithm {
		return signature{}, refuse(codeIncomplete, fmt.Sprintf("The Authorization header begins with %q; it must begin with %s.", name, algorithm))
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[key] = value
	}
	s, err := newSignature(parts["Credential"], parts["SignedHeaders"], parts["Signature"])
	if err != nil {
		return signature{}, err
	}
	s.SessionToken = r.Header.Get("X-Amz-Security-Token")
	if date := r.Header.Get("X-Amz-Date"); date != "" {
		s.Time, err = time.Parse(amzDateFormat, date)
	} else {
		s.Time, err = http.ParseTime(r.Header.Get("Date"))
	}
	if err != nil {
		return signature{}, refuse(codeIncomplete, "The request needs an X-Amz-Date header of the form 20260102T150405Z.")
	}
	return s, nil
}

// maxExpires is the longest life of a presigned request in seconds: a week (SigV4, query parameters).
const maxExpires = 604800

func parsePresigned(query url.Values) (signature, error) {
	if name := query.Get("X-Amz-Algorithm"); name != algorithm {
		return signature{}, refuse(codeIncomplete, fmt.Sprintf("X-Amz-Algorithm is %q; it must be %s.", name, algorithm))
	}
	s, err := newSignature(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"))
	if err != nil {
		return signature{}, err
	}
	s.presigned = true
	s.SessionToken = query.Get("X-Amz-Security-Token")
	if s.Time, err = time.Parse(amzDateFormat, query.Get("X-Amz-Date")); err != nil {
		return signature{}, refuse(codeIncomplete, "X-Amz-Date must be of the form 20260102T150405Z.")
	}
	seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || seconds > maxExpires {
		return signature{}, refuse(codeIncomplete, "X-Amz-Expires must be between 1 and 604800 seconds.")
	}
	s.Expires = time.Duration(seconds) * time.Second
	return s, nil
}

func newSignature(scope, signedHeaders, hexSignature string) (signature, error) {
	c, ok := parseCredential(scope)
	if !ok {
		return signature{}, refuse(codeIncomplete, "The signature needs a Credential of the form KEY/20260102/us-west-2/vpc-lattice/aws4_request.")
	}
	if signedHeaders == "" || hexSignature == "" {
		return signature{}, refuse(codeIncomplete, "The signature needs SignedHeaders and Signature.")
	}
	headers := strings.Split(signedHeaders, ";")
	if !slices.IsSorted(headers) {
		return signature{}, refuse(codeIncomplete, "SignedHeaders must be in alphabetical order.")
	}
	return signature{credential: c, SignedHeaders: headers, Hex: hexSignature}, nil
}

// signs says whether a header, in lower case, is covered by the signature.
func (s signature) signs(header string) bool {
	_, found := slices.BinarySearch(s.SignedHeaders, header)
	return found
}

// expected computes the signature that the request must carry under a signing key.
func (s signature) expected(r *http.Request, signingKey []byte, payloadHash string) string {
	canonical := sha256.Sum256([]byte(s.canonicalRequest(r, payloadHash)))
	toSign := algorithm + "\n" + s.Time.Format(amzDateFormat) + "\n" + s.scope() + "\n" + hex.EncodeToString(canonical[:])
	return hex.EncodeToString(hmacSHA256(signingKey, toSign))
}

func (s signature) scope() string {
	return s.Date + "/" + s.Region + "/" + s.Service + "/aws4_request"
}

func hmacSHA256(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

// canonicalRequest is the text whose hash is signed. The path is encoded once more than on the wire, as for
// every service but S3.
func (s signature) canonicalRequest(r *http.Request, payloadHash string) string {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	b.WriteString(r.Method)
	b.WriteByte('\n')
	b.WriteString(uriEncode(path, true))
	b.WriteByte('\n')
	b.WriteString(s.canonicalQuery(r.URL.RawQuery))
	b.WriteByte('\n')
	for _, name := range s.SignedHeaders {
		b.WriteString(name)
		b.WriteByte(':')
		for i, value := range signedValues(r, name) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.Fields(value), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.WriteString(strings.Join(s.SignedHeaders, ";"))
	b.WriteByte('\n')
	b.WriteString(payloadHash)
	return b.String()
}

// signedValues returns a header's values; net/http keeps Host and Content-Length apart from the others.
func signedValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "content-length":
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return r.Header.Values(name)
}

// canonicalQuery sorts the parameters by their encoded names and values.
func (s signature) canonicalQuery(rawQuery string) string {
	if rawQuery == "" {
		return ""
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(rawQuery, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = unescape(name), unescape(value)
		if s.presigned && name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{uriEncode(name, false), uriEncode(value, false)})
	}
	// Not as they are joined: an equals sign comes behind hyphens, dots and digits, the end of a name before them.
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1])) })
	var query strings.Builder
	for i, pair := range pairs {
		if i > 0 {
			query.WriteByte('&')
		}
		query.WriteString(pair[0] + "=" + pair[1])
	}
	return query.String()
}

// unescape decodes a query component, or returns it unchanged when it is no valid encoding: then the signature
// will not match, which is the right answer to it.
func unescape(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

// uriEncode percent-encodes all but RFC 3986's unreserved characters, and slashes if they are to be kept.
func uriEncode(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}
