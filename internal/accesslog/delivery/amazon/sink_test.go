package amazon

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/lattice"
)

// against returns a sink whose requests a function answers.
func against(t *testing.T, answer http.HandlerFunc) *Sink {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	nowhere := filepath.Join(t.TempDir(), "missing")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
	} {
		t.Setenv(name, value)
	}
	sink, err := New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func batchTo(t *testing.T, destination lattice.LogDestination, arn string, lines ...string) delivery.Batch {
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, delivery.Compress([]byte(strings.Join(lines, "\n")+"\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return delivery.Batch{
		To: &lattice.AccessLogSubscription{Base: lattice.Base{ID: "als-1", Scope: lattice.Scope{Account: "111122223333", Region: "us-west-2"}},
			ResourceID: "svc-1", DestinationType: destination, DestinationARN: arn},
		Key: "AWSLogs/key", Since: time.Now(), File: file,
	}
}

func TestRecordsThatFirehoseDoesNotTakeAreLeft(t *testing.T) {
	sink := against(t, func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Records []struct{ Data string } }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Records) != 3 {
			t.Errorf("the request has %d records (%v)", len(in.Records), err)
		}
		if data, err := base64.StdEncoding.DecodeString(in.Records[1].Data); err != nil || string(data) != "two\n" {
			t.Errorf("the second record is %q (%v)", data, err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		fmt.Fprint(w, `{"FailedPutCount":1,"RequestResponses":[{"RecordId":"1"},{"ErrorCode":"ServiceUnavailableException","ErrorMessage":"slow down"},{"RecordId":"3"}]}`)
	})
	rest, refused, err := sink.Deliver(t.Context(), batchTo(t, lattice.DestinationDeliveryStream, "arn:aws:firehose:us-west-2:111122223333:deliverystream/orders", "one", "two", "three"))
	if string(rest) != "two\n" || refused != 0 || err == nil || !strings.Contains(err.Error(), "slow down") {
		t.Errorf("%q is left, %d are refused, and the error is %v", rest, refused, err)
	}
}

func TestBucketGetsAnObjectBehindItsPrefix(t *testing.T) {
	var path string
	sink := against(t, func(w http.ResponseWriter, r *http.Request) { path = r.Method + " " + r.URL.Path })
	_, _, err := sink.Deliver(t.Context(), batchTo(t, lattice.DestinationBucket, "arn:aws:s3:::bucket/some/prefix/", "one"))
	if err != nil || path != "PUT /bucket/some/prefix/AWSLogs/key.json.gz" {
		t.Errorf("the request is %q (%v)", path, err)
	}
}

func TestEachServiceOfAWSMayHaveAnEndpointOfItsOwn(t *testing.T) {
	asked := make(chan string, 10)
	for _, service := range []string{"S3", "CLOUDWATCH_LOGS", "FIREHOSE"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked <- service
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			if service != "S3" {
				fmt.Fprint(w, "{}")
			}
		}))
		defer server.Close()
		t.Setenv("AWS_ENDPOINT_URL_"+service, server.URL)
	}
	sink := against(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request comes to the endpoint for all services, want each at its own: %s", r.URL)
	})
	for destination, arn := range map[lattice.LogDestination]string{
		lattice.DestinationBucket:         "arn:aws:s3:::bucket",
		lattice.DestinationLogGroup:       "arn:aws:logs:us-west-2:111122223333:log-group:orders:*",
		lattice.DestinationDeliveryStream: "arn:aws:firehose:us-west-2:111122223333:deliverystream/orders",
	} {
		if _, _, err := sink.Deliver(t.Context(), batchTo(t, destination, arn, "{}")); err != nil {
			t.Errorf("%s: %v", arn, err)
		}
	}
	close(asked)
	var services []string
	for service := range asked {
		services = append(services, service)
	}
	slices.Sort(services)
	if !slices.Equal(services, []string{"CLOUDWATCH_LOGS", "FIREHOSE", "S3"}) {
		t.Errorf("requests came to the endpoints of %v, want all three", services)
	}
}

func TestErrorsSayWhatHelps(t *testing.T) {
	sink := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>")
	})
	_, _, err := sink.Deliver(t.Context(), batchTo(t, lattice.DestinationBucket, "arn:aws:s3:::bucket", "one"))
	if err == nil || !strings.Contains(err.Error(), "create the bucket") {
		t.Errorf("the error is %v, want one that says to create the bucket", err)
	}
}

func TestEventsAreInOrderOfTimeAndWithinADay(t *testing.T) {
	entry := func(at string) []byte { return []byte(`{"startTime":"` + at + `"}`) }
	requests := inOrder([][]byte{entry("2026-01-02T00:00:05Z"), entry("2026-01-02T00:00:01Z"),
		[]byte(`{"lostEntries":7,"from":"2026-01-03T11:00:00Z","to":"2026-01-03T12:00:00Z","problem":"the spool was full"}`),
		[]byte(`{"userAgent":"\"startTime\":\"2020-01-01T00:00:00Z\"","startTime":"2026-01-02T00:00:03Z"}`)}, time.Now())
	if len(requests) != 2 || len(requests[0]) != 3 || len(requests[1]) != 1 {
		t.Fatalf("the requests are %v, want one of three events and one of one", requests)
	}
	for i := 1; i < 3; i++ {
		if *requests[0][i].Timestamp < *requests[0][i-1].Timestamp {
			t.Errorf("event %d is earlier than the one before it", i)
		}
	}
}

// Two events two days apart take two requests, of which the second one fails.
func TestEventsThatCloudWatchLogsHasTakenAreNotLeft(t *testing.T) {
	requests := 0
	sink := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if requests++; requests > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"__type":"ServiceUnavailableException","message":"slow down"}`)
			return
		}
		fmt.Fprint(w, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1}}`)
	})
	const taken, left = `{"startTime":"2026-01-02T00:00:00Z"}`, `{"startTime":"2026-01-04T00:00:00Z"}`
	rest, refused, err := sink.Deliver(t.Context(), batchTo(t, lattice.DestinationLogGroup, "arn:aws:logs:us-west-2:111122223333:log-group:orders:*", left, taken))
	if string(rest) != left+"\n" || refused != 1 || err == nil {
		t.Errorf("%q is left, %d are refused, and the error is %v; want the later entry, 1 and an error", rest, refused, err)
	}
}

func TestRequestsStayWithinTheLimits(t *testing.T) {
	l := limits{entries: 3, bytes: 20, overhead: 2, entryBytes: 10}
	lines := []byte("aaaa\nbbbb\nccccccccccccc\ndddddddd\ne\nf\n")
	var got []string
	var tooLong int64
	for rest := lines; len(rest) > 0; {
		entries, after, n := l.piece(rest)
		got = append(got, string(bytes.Join(entries, []byte(","))))
		tooLong += n
		rest = after
	}
	if strings.Join(got, " ") != "aaaa,bbbb dddddddd,e,f" || tooLong != 1 {
		t.Errorf("the requests have %q, and %d entries are too long", got, tooLong)
	}
}
