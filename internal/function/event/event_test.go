package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func sample() *Request {
	return &Request{
		Method: "POST", Path: "/p%20q?b=1&a=x%20y&b=2&c&a+b=%zz",
		Headers: []Header{
			{"host", "shop.example"}, {"x-many", "1"}, {"content-type", "application/json"}, {"x-many", "2"}, {"x-forwarded-for", "10.0.0.5"},
		},
		Body:              []byte(`{"a":"ä"}`),
		RequestID:         "01234567-89ab-cdef-0123-456789abcdef",
		ServiceNetworkARN: "sn", ServiceARN: "svc", TargetGroupARN: "tg", Region: "us-west-2",
		Identity:       Identity{SourceVpcARN: "arn:aws:ec2:us-west-2:123456789012:vpc/vpc-11111111"},
		LatticeNetwork: "SourceVpcArn=arn:aws:ec2:us-west-2:123456789012:vpc/vpc-11111111",
		Time:           time.UnixMicro(1690497599177430),
	}
}

func sameJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsHaveTheFormsOfBothVersions(t *testing.T) {
	sameJSON(t, V1(sample()), `{
		"request_id": "01234567-89ab-cdef-0123-456789abcdef",
		"raw_path": "/p%20q?b=1&a=x%20y&b=2&c&a+b=%zz", "method": "POST",
		"headers": {"host": "shop.example", "x-many": "1,2", "content-type": "application/json", "x-forwarded-for": "10.0.0.5",
			"x-amzn-lattice-network": "SourceVpcArn=arn:aws:ec2:us-west-2:123456789012:vpc/vpc-11111111"},
		"query_string_parameters": {"b": "1", "a": "x y", "c": "", "a b": "%zz"},
		"body": "{\"a\":\"ä\"}", "is_base64_encoded": false}`)
	sameJSON(t, V2(sample()), `{
		"version": "2.0", "requestId": "01234567-89ab-cdef-0123-456789abcdef",
		"path": "/p%20q?b=1&a=x%20y&b=2&c&a+b=%zz", "method": "POST",
		"headers": {"host": ["shop.example"], "x-many": ["1", "2"], "content-type": ["application/json"], "x-forwarded-for": ["10.0.0.5"]},
		"queryStringParameters": {"b": ["1", "2"], "a": ["x y"], "c": [""], "a b": ["%zz"]},
		"body": "{\"a\":\"ä\"}",
		"requestContext": {"serviceNetworkArn": "sn", "serviceArn": "svc", "targetGroupArn": "tg", "region": "us-west-2",
			"timeEpoch": "1690497599177430",
			"identity": {"sourceVpcArn": "arn:aws:ec2:us-west-2:123456789012:vpc/vpc-11111111"}}}`)
}

func TestIdentityOfASignedRequestIsInTheEvent(t *testing.T) {
	r := sample()
	r.LatticeIdentity = "Principal=p"
	r.Identity = Identity{SourceVpcARN: "v", Type: "AWS_IAM", Principal: "p", PrincipalOrgID: "o", SessionName: "s"}
	var v1 struct{ Headers map[string]string }
	var v2 struct {
		RequestContext struct{ Identity map[string]string }
	}
	if json.Unmarshal(V1(r), &v1) != nil || json.Unmarshal(V2(r), &v2) != nil {
		t.Fatal("an event cannot be read")
	}
	if v1.Headers["x-amzn-lattice-identity"] != "Principal=p" {
		t.Errorf("the headers of V1 are %v", v1.Headers)
	}
	want := map[string]string{"sourceVpcArn": "v", "type": "AWS_IAM", "principal": "p", "principalOrgID": "o", "sessionName": "s"}
	if diff := cmp.Diff(want, v2.RequestContext.Identity); diff != "" {
		t.Errorf("the identity of V2 (-want +got):\n%s", diff)
	}
}

func TestContentTypeDecidesWhetherABodyIsTextOrBase64(t *testing.T) {
	for _, test := range []struct {
		contentType, contentEncoding string
		body, want                   string
		encoded                      bool
	}{
		{"text/plain", "", "hello", "hello", false},
		{"TEXT/csv; charset=utf-8", "", "a,b", "a,b", false},
		{"application/json; charset=utf-8", "", "{}", "{}", false},
		{"application/xml", "", "<a/>", "<a/>", false},
		{"application/javascript", "identity", "1", "1", false},
		{"application/octet-stream", "", "hello", "aGVsbG8=", true},
		{"application/vnd.api+json", "", "{}", "e30=", true},
		{"", "", "hello", "aGVsbG8=", true},
		{"image/png", "gzip", "hello", "aGVsbG8=", true},
		{"application/json", "gzip", "\x1f\x8b\x08", "H4sI", true},
		{"text/plain", "", "caf\xe9", "Y2Fm6Q==", true},
		{"application/octet-stream", "", "", "", false},
	} {
		r := &Request{Body: []byte(test.body)}
		if test.contentType != "" {
			r.Headers = append(r.Headers, Header{"content-type", test.contentType})
		}
		if test.contentEncoding != "" {
			r.Headers = append(r.Headers, Header{"content-encoding", test.contentEncoding})
		}
		if body, encoded := r.body(); body != test.want || encoded != test.encoded {
			t.Errorf("a body %q of %q is %q, %v", test.body, test.contentType, body, encoded)
		}
	}
}

func TestHeaderBytesThatAreNotUTF8AreLatin1(t *testing.T) {
	if got := text("caf\xe9"); got != "café" {
		t.Errorf("the text is %q, want café", got)
	}
}

func TestResponsesOfEveryFormAreRead(t *testing.T) {
	for _, test := range []struct {
		name, payload, contentType string
		want                       Response
	}{
		{"minimal", `{"statusCode":204}`, "", Response{Status: 204}},
		{"text", `{"statusCode":200,"headers":{"Content-Type":"text/plain"},"body":"hello","isBase64Encoded":false}`, "application/json",
			Response{200, []Header{{"content-type", "text/plain"}}, []byte("hello")}},
		{"base64", `{"isBase64Encoded":true,"statusCode":200,"body":"AAEC"}`, "", Response{200, nil, []byte{0, 1, 2}}},
		{"description of ALB's form", `{"statusCode":302,"statusDescription":"302 Found","headers":{"location":"/b"}}`, "", Response{302, []Header{{"location", "/b"}}, nil}},
		{"values that are no texts", `{"statusCode":200,"headers":{"x-n":1.50,"x-t":true,"x-0":null}}`, "", Response{200, []Header{{"x-n", "1.50"}, {"x-t", "true"}}, nil}},
		{"lists", `{"statusCode":200,"headers":{"set-cookie":["a=1","b=2"]}}`, "", Response{200, []Header{{"set-cookie", "a=1"}, {"set-cookie", "b=2"}}, nil}},
		{"multiValueHeaders", `{"statusCode":200,"headers":{"X-A":"2"},"multiValueHeaders":{"x-a":["1","2"]}}`, "", Response{200, []Header{{"x-a", "1"}, {"x-a", "2"}}, nil}},
		{"cookies", `{"statusCode":200,"cookies":["a=1","b=2"]}`, "", Response{200, []Header{{"set-cookie", "a=1"}, {"set-cookie", "b=2"}}, nil}},
		{"headers of the connection", `{"statusCode":200,"headers":{"Connection":"X-Hop, close","x-hop":"1","Transfer-Encoding":"chunked","Content-Length":"99","upgrade":"a","Keep-Alive":"b","x-stays":" 1 "},"body":"a"}`, "",
			Response{200, []Header{{"x-stays", "1"}}, []byte("a")}},
		{"streamed", "{\"statusCode\":201,\"headers\":{\"x-a\":\"1\"}}\x00\x00\x00\x00\x00\x00\x00\x00{\"no\":1}\x00", streamedResponse, Response{201, []Header{{"x-a", "1"}}, []byte("{\"no\":1}\x00")}},
	} {
		r, err := ReadResponse([]byte(test.payload), test.contentType)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if diff := cmp.Diff(&test.want, r, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestErrorNamesWhatIsWrongWithAResponse(t *testing.T) {
	for payload, want := range map[string]string{
		``:                   "it is not JSON: unexpected end of JSON input",
		`"hello"`:            "it is a JSON string; it must be an object with statusCode, headers and body",
		`null`:               "statusCode is missing; it must be a number such as 200",
		`{"body":"hello"}`:   "statusCode is missing; it must be a number such as 200",
		`{"statusCode":100}`: "statusCode is 100; it must be between 200 and 599",
		`{"statusCode":"2"}`: "statusCode is a JSON string; it must not be",
		`{"statusCode":200,"headers":{"x-a":{"b":1}}}`:    `the header "x-a" is {"b":1}; it must be a text or a list of texts`,
		`{"statusCode":200,"headers":{"x a":"1"}}`:        `"x a" cannot be the name of a header`,
		`{"statusCode":200,"headers":{"x-a":"1\r\nb:2"}}`: `the value of the header x-a, "1\r\nb:2", has a control character`,
		`{"statusCode":200,"body":{}}`:                    "body is a JSON object; it must not be",
	} {
		_, err := ReadResponse([]byte(payload), "")
		if invalid, ok := errors.AsType[*InvalidResponseError](err); !ok || invalid.Problem != want {
			t.Errorf("%s: %v, want %s", payload, err, want)
		}
	}
	_, err := ReadResponse([]byte(`{"statusCode":200,"isBase64Encoded":true,"body":"not base64"}`), "")
	if _, ok := errors.AsType[*InvalidBodyError](err); !ok {
		t.Errorf("the error is %v, want an InvalidBodyError", err)
	}
}

func FuzzReadResponse(f *testing.F) {
	f.Add([]byte(`{"statusCode":200,"headers":{"set-cookie":["a=1","b=2"]},"body":"AAEC","isBase64Encoded":true}`), "")
	f.Add([]byte("{}\x00\x00\x00\x00\x00\x00\x00\x00body"), streamedResponse)
	f.Fuzz(func(t *testing.T, payload []byte, contentType string) {
		r, err := ReadResponse(payload, contentType)
		if err != nil {
			return
		}
		for _, h := range r.Headers {
			if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") || h.Name != strings.ToLower(h.Name) {
				t.Errorf("a header is %q", h)
			}
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add("/a?b=c&b=%41+", "x-a", "\xe9", []byte("body"))
	f.Fuzz(func(t *testing.T, path, name, value string, body []byte) {
		r := &Request{Path: path, Headers: []Header{{name, value}, {"content-type", "text/plain"}}, Body: body}
		for _, e := range [][]byte{V1(r), V2(r)} {
			if !utf8.Valid(e) || !json.Valid(e) {
				t.Errorf("the event is %q", e)
			}
		}
	})
}
