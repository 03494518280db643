package server

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/accesslog/tail"
	"trellis/test/trellistest"
)

// theService returns the service of serviceOnPort80.
func (r *running) theService(t *testing.T) (id, host string) {
	t.Helper()
	services, err := r.client(anybody()).ListServices(t.Context(), nil)
	if err != nil || len(services.Items) != 1 {
		t.Fatalf("the services are %+v (%v)", services, err)
	}
	return *services.Items[0].Id, *services.Items[0].DnsEntry.DomainName
}

func TestLogsCommandShowsExchangesAsTheyEnd(t *testing.T) {
	node := start(t, "dev", "--port-map", "80=0")
	node.serviceOnPort80(t)
	_, host := node.theService(t)
	ctx, stop := context.WithCancel(t.Context())
	admin := "http://" + node.server.adminListener.Addr().String()
	var all, failed, json text
	ended := make(chan int, 3)
	go func() { ended <- tail.Command{Admin: admin, Service: "nothing"}.Run(ctx, &all, io.Discard) }()
	go func() { ended <- tail.Command{Admin: admin, Status: "5xx"}.Run(ctx, &failed, io.Discard) }()
	go func() { ended <- tail.Command{Admin: admin, JSON: true}.Run(ctx, &json, io.Discard) }()
	trellistest.Await(t, func() bool {
		node.ask(t, host, "/what?is=this")
		node.ask(t, "nobody.example", "/")
		return strings.Contains(all.String(), "GET /what?is=this  nothing") && strings.Contains(json.String(), `"problem":`)
	}, "the lines of both")
	stop()
	for range 3 {
		if code := <-ended; code != 0 {
			t.Errorf("the exit code is %d", code)
		}
	}
	if strings.Contains(all.String(), "nobody.example") || strings.Contains(all.String(), "\x1b[") {
		t.Errorf("what --service does not name is shown, or colours where there is no terminal:\n%s", all.String())
	}
	if failed.String() != "" {
		t.Errorf("--status 5xx shows\n%s", failed.String())
	}
}

func TestLogsCommandSaysWhatIsWrong(t *testing.T) {
	node := start(t, "dev")
	admin := "http://" + node.server.adminListener.Addr().String()
	for _, c := range []struct {
		command tail.Command
		code    int
		want    string
	}{
		{tail.Command{Admin: admin, Status: "5x"}, 2, "as in 502 or 5xx"},
		{tail.Command{Admin: "nowhere"}, 2, "http://127.0.0.1:7601"},
		{tail.Command{Admin: "http://127.0.0.1:1"}, 1, "no node answers"},
	} {
		var said text
		if code := c.command.Run(t.Context(), io.Discard, &said); code != c.code || !strings.Contains(said.String(), c.want) {
			t.Errorf("%+v ends with %d and %q, want %d and %q", c.command, code, said.String(), c.code, c.want)
		}
	}
}

func TestSubscriptionWritesEntriesBelowADirectory(t *testing.T) {
	dir := t.TempDir()
	node := start(t, "dev", "--port-map", "80=0", "--access-logs", dir)
	node.serviceOnPort80(t)
	id, host := node.theService(t)
	node.ask(t, host, "/before")
	bucket := "arn:aws:s3:::access-logs"
	if _, err := node.client(anybody()).CreateAccessLogSubscription(t.Context(), &vpclattice.CreateAccessLogSubscriptionInput{
		ResourceIdentifier: &id, DestinationArn: &bucket}); err != nil {
		t.Fatal(err)
	}
	node.ask(t, host, "/after")
	var content []byte
	trellistest.Await(t, func() bool {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.Contains(path, id) {
				content, err = os.ReadFile(path)
			}
			return err
		})
		return err == nil && len(content) > 0
	}, "a file with the entry")
	if lines := strings.Split(strings.TrimSpace(string(content)), "\n"); len(lines) != 1 || !strings.Contains(lines[0], `"requestPath":"/after"`) {
		t.Errorf("the file has %q, want the entry of the request after the subscription alone", lines)
	}
}
