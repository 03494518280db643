// Package event turns HTTP requests into the events that VPC Lattice gives to Lambda functions, in both versions, and what
// functions answer into HTTP responses. It does no I/O, and knows neither how requests come nor how functions run.
//
// The forms are those of docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html, and of AWS's own event classes
// (github.com/aws-powertools), which tests read the events with.
package event

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxBody bounds the body of a request (UG lambda-functions): 6 MB, however it is written in the event.
const MaxBody = 6 << 20

// Header is a line of a request's head.
type Header struct{ Name, Value string }

// Request is the request that an event describes.
type Request struct {
	Method string
	// Path is the path with the query, as in the request line.
	Path string
	// Headers are those that the function sees, in the order of the request, with names in lower case.
	Headers []Header
	Body    []byte

	RequestID         string
	ServiceNetworkARN string
	ServiceARN        string
	TargetGroupARN    string
	Region            string
	Identity          Identity
	// LatticeNetwork and LatticeIdentity are header lines of events of V1; those of V2 have Identity instead. The second
	// is left out if it is empty.
	LatticeNetwork, LatticeIdentity string
	Time                            time.Time
}

// Identity is who sent a request, in events of V2.
type Identity struct {
	SourceVpcARN   string `json:"sourceVpcArn"`
	Type           string `json:"type,omitempty"`
	Principal      string `json:"principal,omitempty"`
	PrincipalOrgID string `json:"principalOrgID,omitempty"`
	SessionName    string `json:"sessionName,omitempty"`
	X509IssuerOU   string `json:"x509IssuerOu,omitempty"`
	X509SANDNS     string `json:"x509SanDns,omitempty"`
	X509SANNameCN  string `json:"x509SanNameCn,omitempty"`
	X509SANURI     string `json:"x509SanUri,omitempty"`
	X509SubjectCN  string `json:"x509SubjectCn,omitempty"`
}

type eventV1 struct {
	RequestID       string            `json:"request_id"`
	RawPath         string            `json:"raw_path"`
	Method          string            `json:"method"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"query_string_parameters"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"is_base64_encoded"`
}

// V1 returns the event of lambdaEventStructureVersion V1. Of repeated query parameters it keeps the first, and values of
// repeated headers are joined by a comma alone, as AWS does it.
func V1(r *Request) []byte {
	e := eventV1{
		RequestID: r.RequestID,
		RawPath:   text(r.Path),
		Method:    text(r.Method),
		Headers:   map[string]string{},
		Query:     map[string]string{},
	}
	for _, h := range r.Headers {
		name, value := text(h.Name), text(h.Value)
		if before, repeated := e.Headers[name]; repeated {
			value = before + "," + value
		}
		e.Headers[name] = value
	}
	e.Headers["x-amzn-lattice-network"] = r.LatticeNetwork
	if r.LatticeIdentity != "" {
		e.Headers["x-amzn-lattice-identity"] = r.LatticeIdentity
	}
	for _, p := range query(r.Path) {
		if _, repeated := e.Query[p.name]; !repeated {
			e.Query[p.name] = p.value
		}
	}
	e.Body, e.IsBase64Encoded = r.body()
	return encode(&e)
}

type eventV2 struct {
	Version         string              `json:"version"`
	RequestID       string              `json:"requestId"`
	Path            string              `json:"path"`
	Method          string              `json:"method"`
	Headers         map[string][]string `json:"headers"`
	Query           map[string][]string `json:"queryStringParameters,omitempty"`
	Body            string              `json:"body"`
	IsBase64Encoded bool                `json:"isBase64Encoded,omitempty"`
	Context         contextV2           `json:"requestContext"`
}

type contextV2 struct {
	ServiceNetworkARN string   `json:"serviceNetworkArn"`
	ServiceARN        string   `json:"serviceArn"`
	TargetGroupARN    string   `json:"targetGroupArn"`
	Identity          Identity `json:"identity"`
	Region            string   `json:"region"`
	TimeEpoch         string   `json:"timeEpoch"` // in microseconds
}

// V2 returns the event of lambdaEventStructureVersion V2.
func V2(r *Request) []byte {
	e := eventV2{
		Version:   "2.0",
		RequestID: r.RequestID,
		Path:      text(r.Path),
		Method:    text(r.Method),
		Headers:   map[string][]string{},
		Query:     map[string][]string{},
		Context: contextV2{
			ServiceNetworkARN: r.ServiceNetworkARN,
			ServiceARN:        r.ServiceARN,
			TargetGroupARN:    r.TargetGroupARN,
			Identity:          r.Identity,
			Region:            r.Region,
			TimeEpoch:         strconv.FormatInt(r.Time.UnixMicro(), 10),
		},
	}
	for _, h := range r.Headers {
		name := text(h.Name)
		e.Headers[name] = append(e.Headers[name], text(h.Value))
	}
	for _, p := range query(r.Path) {
		e.Query[p.name] = append(e.Query[p.name], p.value)
	}
	e.Body, e.IsBase64Encoded = r.body()
	return encode(&e)
}

func encode(e any) []byte {
	// Texts and maps of texts can always be encoded.
	b, _ := json.Marshal(e)
	return b
}

// body returns the body as events have it. Texts stay as they are, and everything else becomes base64: bodies of another
// content type, or none, and those that are not text although their type says so, such as compressed ones.
func (r *Request) body() (body string, encoded bool) {
	if len(r.Body) == 0 {
		return "", false
	}
	contentType := ""
	for _, h := range r.Headers {
		if h.Name == "content-type" {
			contentType = h.Value
			break
		}
	}
	if isText(contentType) && utf8.Valid(r.Body) {
		return string(r.Body), false
	}
	return base64.StdEncoding.EncodeToString(r.Body), true
}

// isText reports whether bodies of a content type are texts in events (UG lambda-functions).
func isText(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	switch mediaType {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(mediaType, "text/")
}

type parameter struct{ name, value string }

// query returns the parameters of a path's query, decoded. What cannot be decoded stays as it is.
func query(path string) (parameters []parameter) {
	_, raw, _ := strings.Cut(path, "?")
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		parameters = append(parameters, parameter{decoded(name), decoded(value)})
	}
	return parameters
}

func decoded(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		s = d
	}
	return text(s)
}

// text returns a client's text, which may hold any bytes, as JSON can hold it: it reads texts that are not UTF-8 as ISO
// 8859-1, which they once were in HTTP (RFC 9110 5.5).
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
