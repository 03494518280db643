package event

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Response is a function's response in the terms of HTTP.
type Response struct {
	Status int
	// Headers have names in lower case. Lines about the connection or the length of the body are left out.
	Headers []Header
	Body    []byte
}

// InvalidResponseError says that what a function returned is not a response.
type InvalidResponseError struct{ Problem string }

func (e *InvalidResponseError) Error() string { return "the function's response: " + e.Problem }

// InvalidBodyError says that a body is not the base64 that the function says it is.
type InvalidBodyError struct{ Err error }

func (e *InvalidBodyError) Error() string {
	return "the function's response: isBase64Encoded is true, and body is not base64: " + e.Err.Error()
}

func (e *InvalidBodyError) Unwrap() error { return e.Err }

// streamedResponse is the content type of a response whose body follows its head as bytes, as runtimes stream it
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html). Eight zero bytes stand between the two.
const streamedResponse = "application/vnd.awslambda.http-integration-response"

const streamedSeparator = "\x00\x00\x00\x00\x00\x00\x00\x00"

// answer is the form of a response (UG lambda-functions). Other members, such as statusDescription, mean nothing.
type answer struct {
	StatusCode        *int                       `json:"statusCode"`
	Headers           map[string]json.RawMessage `json:"headers"`
	MultiValueHeaders map[string][]string        `json:"multiValueHeaders"`
	Cookies           []string                   `json:"cookies"`
	Body              *string                    `json:"body"`
	IsBase64Encoded   bool                       `json:"isBase64Encoded"`
}

// ReadResponse reads what a function answered. contentType is what the runtime says of it, or empty. The error is an
// *InvalidResponseError or an *InvalidBodyError.
func ReadResponse(payload []byte, contentType string) (*Response, error) {
	head, body, streamed := payload, []byte(nil), false
	if mediaType, _, _ := strings.Cut(contentType, ";"); strings.TrimSpace(mediaType) == streamedResponse {
		var found bool
		if head, body, found = bytes.Cut(payload, []byte(streamedSeparator)); !found {
			return nil, &InvalidResponseError{"the head of the streamed response has no end"}
		}
		streamed = true
	}
	var a answer
	if err := json.Unmarshal(head, &a); err != nil {
		return nil, &InvalidResponseError{formProblem(err)}
	}
	switch {
	case a.StatusCode == nil && streamed:
		a.StatusCode = new(200) // Function URLs accept this too.
	case a.StatusCode == nil:
		return nil, &InvalidResponseError{"statusCode is missing; it must be a number such as 200"}
	case *a.StatusCode < 200 || *a.StatusCode > 599:
		return nil, &InvalidResponseError{fmt.Sprintf("statusCode is %d; it must be between 200 and 599", *a.StatusCode)}
	}
	r := &Response{Status: *a.StatusCode, Body: body}
	if a.Body != nil && !streamed {
		r.Body = []byte(*a.Body)
		if a.IsBase64Encoded {
			decoded, err := base64.StdEncoding.DecodeString(*a.Body)
			if err != nil {
				return nil, &InvalidBodyError{err}
			}
			r.Body = decoded
		}
	}
	if err := r.takeHeaders(&a); err != nil {
		return nil, err
	}
	return r, nil
}

// formProblem puts into words what is wrong with the JSON of a response.
func formProblem(err error) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return "it is not JSON: " + err.Error()
	case wrong.Field == "":
		return "it is a JSON " + wrong.Value + "; it must be an object with statusCode, headers and body"
	default:
		return wrong.Field + " is a JSON " + wrong.Value + "; it must not be"
	}
}

// takeHeaders reads the headers. A name may have one value or several, and AWS's services have two names for the map; all
// values are passed on.
func (r *Response) takeHeaders(a *answer) error {
	lines := map[string][]string{}
	for name, raw := range a.Headers {
		values, err := headerValues(raw)
		if err != nil {
			return &InvalidResponseError{fmt.Sprintf("the header %q is %s; it must be a text or a list of texts", name, raw)}
		}
		lines[strings.ToLower(name)] = append(lines[strings.ToLower(name)], values...)
	}
	for name, values := range a.MultiValueHeaders {
		// A name that is in both maps has all its values in this one.
		lines[strings.ToLower(name)] = values
	}
	lines["set-cookie"] = append(lines["set-cookie"], a.Cookies...)
	hop := map[string]bool{}
	for _, value := range lines["connection"] {
		for option := range strings.SplitSeq(value, ",") {
			hop[strings.ToLower(strings.TrimSpace(option))] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return &InvalidResponseError{fmt.Sprintf("%q cannot be the name of a header", name)}
		}
		if hop[name] || ofConnection(name) {
			continue
		}
		for _, value := range lines[name] {
			value = strings.Trim(value, " \t")
			if !httpguts.ValidHeaderFieldValue(value) {
				return &InvalidResponseError{fmt.Sprintf("the value of the header %s, %q, has a control character", name, value)}
			}
			r.Headers = append(r.Headers, Header{name, value})
		}
	}
	return nil
}

// headerValues reads a text, a number, a truth value or a list of texts; null is no value.
func headerValues(raw json.RawMessage) ([]string, error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	switch value := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{value}, nil
	case json.Number:
		return []string{value.String()}, nil
	case bool:
		return []string{strconv.FormatBool(value)}, nil
	default:
		var values []string
		err := json.Unmarshal(raw, &values)
		return values, err
	}
}

// ofConnection reports whether a header is about one connection, or about the length of the body, which follows from the
// body itself (RFC 9110 7.6.1, UG lambda-functions).
func ofConnection(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length":
		return true
	}
	return false
}
