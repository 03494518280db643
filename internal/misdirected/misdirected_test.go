package misdirected

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// answer sends a request and returns the response, whose status tells which handler got the request.
func answer(r *http.Request) *http.Response {
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	recorder := httptest.NewRecorder()
	NewHandler(Config{Next: status(201), Tagging: status(202), Log: slog.New(slog.DiscardHandler)}).ServeHTTP(recorder, r)
	return recorder.Result()
}

func request(method, path, service string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	if service != "" {
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260102/us-west-2/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestServicesThatAreHereGetTheirRequests(t *testing.T) {
	for _, test := range []struct {
		name string
		r    *http.Request
		want int
	}{
		{"signed for VPC Lattice", request("GET", "/services", "vpc-lattice"), 201},
		{"signed for STS", request("POST", "/", "sts", "Content-Type", "application/x-www-form-urlencoded"), 201},
		{"signed for what is behind VPC Lattice", request("GET", "/services", "vpc-lattice-svcs"), 201},
		{"not signed", request("GET", "/services", ""), 201},
		{"signed for tagging", request("POST", "/", "tagging"), 202},
		{"an operation of tagging, not signed", request("POST", "/", "", "X-Amz-Target", "ResourceGroupsTaggingAPI_20170126.GetResources"), 202},
		{"presigned for another", request("GET", "/services?X-Amz-Credential=AKID%2F20260102%2Fus-west-2%2Fs3%2Faws4_request", ""), 400},
		{"another service whose path is one of ours", request("GET", "/services", "s3"), 400},
		{"an operation of another, not signed", request("POST", "/", "", "X-Amz-Target", "AWSCognitoIdentityService.GetId"), 400},
	} {
		if got := answer(test.r).StatusCode; got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestEveryProtocolHasItsForm(t *testing.T) {
	form := []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}
	for _, test := range []struct {
		name, contentType, begins string
		r                         *http.Request
	}{
		{"JSON", "application/json", `{"__type":"UnsupportedService","message":"This is Trellis`, request("POST", "/", "dynamodb", "X-Amz-Target", "DynamoDB_20120810.ListTables")},
		{"REST with JSON", "application/json", `{"__type":"UnsupportedService","message":"This is Trellis`, request("GET", "/2015-03-31/functions", "lambda")},
		{"query", "text/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse><Error><Type>Sender</Type><Code>UnsupportedService</Code><Message>This is Trellis", request("POST", "/", "iam", form...)},
		{"EC2", "text/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>UnsupportedService</Code><Message>This is Trellis", request("POST", "/", "ec2", form...)},
		{"S3", "text/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>UnsupportedService</Code><Message>This is Trellis", request("PUT", "/bucket/key", "s3")},
		{"REST with XML", "text/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ErrorResponse><Error>", request("GET", "/2013-04-01/hostedzone", "route53")},
		{"CBOR", "application/cbor", "\xa2\x79\x00\x06__type\x79\x00\x12UnsupportedService\x79\x00\x07message\x79", request("POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", "monitoring", "Smithy-Protocol", "rpc-v2-cbor")},
	} {
		res := answer(test.r)
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 400 || res.Header.Get("Content-Type") != test.contentType || res.Header.Get("X-Amzn-Errortype") != "UnsupportedService" {
			t.Errorf("%s: %d %v", test.name, res.StatusCode, res.Header)
		}
		if !strings.HasPrefix(string(body), test.begins) || !strings.Contains(string(body), "set AWS_ENDPOINT_URL_VPC_LATTICE") {
			t.Errorf("%s: %s", test.name, body)
		}
		if res.ContentLength != int64(len(body)) {
			t.Errorf("%s: the length is %d, not %d", test.name, res.ContentLength, len(body))
		}
	}
}

func TestWhatAClientSentDoesNotFillTheResponse(t *testing.T) {
	res := answer(request("GET", "/", strings.Repeat("a", 5000)))
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) > 1000 {
		t.Errorf("the response has %d bytes, %v; want at most 1000", len(body), err)
	}
}

func TestResponseToHeadHasNoBody(t *testing.T) {
	if body, err := io.ReadAll(answer(request("HEAD", "/bucket", "s3")).Body); err != nil || len(body) > 0 {
		t.Errorf("the response to HEAD has the body %q, %v; want none", body, err)
	}
}
