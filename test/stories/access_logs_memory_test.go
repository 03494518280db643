package stories_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/test/trellistest"
)

// The bounds of TestMemoryStaysBoundedWhileSinksAreDown.
const (
	spoolMegabytes = 64
	// sinklessGrowth is how much more memory a node may have than when it had carried traffic for a while: batches that are
	// being delivered in vain, and what the collector has not taken back yet.
	sinklessGrowth = 400 << 20
)

// TestMemoryStaysBoundedWhileSinksAreDown sends requests as fast as they are answered while nothing can be delivered, neither
// an entry nor a span: for three seconds, and for three minutes in the full test.
func TestMemoryStaysBoundedWhileSinksAreDown(t *testing.T) {
	duration := time.Duration(soakFactor(t)) * 3 * time.Second
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ENDPOINT_URL": "http://" + local(trellistest.FreePort(t)), // Nobody listens.
	} {
		t.Setenv(name, value)
	}
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, greeting) }))
	defer target.Close()
	collector := must(net.Listen("tcp", "127.0.0.1:0"))(t) // It takes connections, and never answers.
	defer collector.Close()
	dir, port := t.TempDir(), trellistest.FreePort(t)
	p := trellistest.Start(t, trellistest.BuildFast(t), "serve", "--data-dir", dir, "--access-logs", "aws",
		"--otlp-endpoint", "http://"+collector.Addr().String(), "--trace-ratio", "1", "--access-logs-spool", fmt.Sprint(spoolMegabytes), "--port-map", fmt.Sprintf("80=%d", port))
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	n := buildNetwork(t, c, target.Listener.Addr().String())
	for _, arn := range []string{
		"arn:aws:s3:::access-logs", "arn:aws:logs:us-west-2:123456789012:log-group:access-logs:*", "arn:aws:firehose:us-west-2:123456789012:deliverystream/access-logs",
	} {
		must(c.CreateAccessLogSubscription(t.Context(), &vpclattice.CreateAccessLogSubscriptionInput{ResourceIdentifier: &n.service, DestinationArn: aws.String(arn)}))(t)
	}
	var sent atomic.Int64
	load := func(duration time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), duration)
		defer cancel()
		var clients sync.WaitGroup
		for range 16 {
			clients.Go(func() {
				kept := &keptClient{host: n.host, dial: dialTCP(local(port))}
				defer kept.close()
				for ctx.Err() == nil {
					if err := kept.get("/", greeting); err != nil {
						t.Error(err)
						return
					}
					sent.Add(1)
				}
			})
		}
		clients.Wait()
	}
	load(time.Second)
	first := residentBytes(t, p)
	var most, spool int64
	var megabytes []int64 // second by second
	for began := time.Now(); time.Since(began) < duration && !t.Failed(); {
		load(time.Second)
		now := residentBytes(t, p)
		most, megabytes = max(most, now), append(megabytes, now>>20)
		spool = max(spool, sizeOf(t, filepath.Join(dir, "access-logs-spool")))
	}
	if most > first+sinklessGrowth {
		t.Errorf("the memory has grown from %d MB to %d MB", first>>20, most>>20)
	}
	// Batches that are being delivered are read meanwhile, and what comes until the next look is written.
	if spool > 2*spoolMegabytes<<20 {
		t.Errorf("the spool had %d MB, of at most %d", spool>>20, spoolMegabytes)
	}
	waiting, lost := scraped(t, p.Admin, "trellis_trace_queue_spans")[""], scraped(t, p.Admin, "trellis_trace_lost_spans_total")[""]
	if waiting == 0 {
		t.Error("no span waits for the collector, which takes none")
	}
	t.Logf("%v spans wait, and %v are lost", waiting, lost)
	t.Logf("after %d requests: %d MB of memory at first, at most %d MB; at most %d MB in the spool; megabytes of memory: %v",
		sent.Load(), first>>20, most>>20, spool>>20, megabytes)
}

func sizeOf(t *testing.T, dir string) (total int64) {
	t.Helper()
	for _, entry := range must(os.ReadDir(dir))(t) {
		if info, err := entry.Info(); err == nil { // Else it is gone.
			total += info.Size()
		}
	}
	return total
}
