package stories_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/test/trellistest"
)

// What differs each time is written alike in what a page shows and in what a command prints.
var varying = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}`), "TIME"},
	{regexp.MustCompile(` +[\d.]+(µs|ms|s)  `), " DURATION  "},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "DATE"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`(svc|sn|tg)-[0-9a-f]{17}`), "$1-ID"},
	{regexp.MustCompile(`files-[0-9a-f]{17}`), "HOST"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`"userAgent":"[^"]*"`), `"userAgent":"AGENT"`},
	{regexp.MustCompile(`"(bytesReceived|bytesSent|duration|requestToTargetDuration|responseFromTargetDuration)":\d+`), `"$1":N`},
}

func alike(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.instead)
	}
	return text
}

// shown returns the lines that a page shows after a command, up to the next command in its block.
func shown(t *testing.T, page, command string) string {
	t.Helper()
	content := string(must(os.ReadFile("../../" + page))(t))
	_, after, ok := strings.Cut(content, "\n$ "+command+"\n")
	if !ok {
		t.Fatalf("%s does not show %q", page, command)
	}
	after, _, _ = strings.Cut(after, "```")
	after, _, _ = strings.Cut(after, "\n$ ")
	return strings.TrimSuffix(after, "\n") + "\n"
}

// TestPagesShowWhatLogsPrint runs what README.md and docs/logs.md say of requests, their logs and what is counted of them.
func TestPagesShowWhatLogsPrint(t *testing.T) {
	t.Parallel()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, greeting) }))
	defer target.Close()
	program, folder, port := trellistest.BuildFast(t), t.TempDir(), trellistest.FreePort(t)
	p := trellistest.Start(t, program, "dev", "--dns-addr", "none", "--access-logs", filepath.Join(folder, "logs"), "--port-map", fmt.Sprintf("80=%d", port))
	run := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir = folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
	anybody := vpclattice.New(vpclattice.Options{Region: "us-west-2", BaseEndpoint: &p.API, Credentials: aws.AnonymousCredentials{}})
	n := buildNamed(t, anybody, target.Listener.Addr().String(), "files", "files")

	// The subscription of docs/logs.md.
	const create = `curl -s http://127.0.0.1:7600/accesslogsubscriptions -H 'Content-Type: application/json' \
    -d '{"resourceIdentifier": "<service id>", "destinationArn": "arn:aws:s3:::access-logs"}'`
	shown(t, "docs/logs.md", create)
	run(strings.NewReplacer("http://127.0.0.1:7600", p.API, "<service id>", n.service).Replace(create))

	var lines trellistest.Text
	follow := exec.Command(program, "logs", "-f", "--admin", p.Admin)
	follow.Stdout, follow.Stderr = &lines, &lines
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = follow.Process.Kill()
		_ = follow.Wait() // It was killed.
	})
	defer stop()
	// It says nothing when it begins to follow.
	trellistest.Await(t, func() bool {
		_, _, err := get(t.Context(), "nobody.example", port, "/")
		return err == nil && strings.Contains(lines.String(), "nobody.example")
	}, "the command follows")
	request := func(path string) {
		t.Helper()
		_, _, err := get(t.Context(), n.host, port, path)
		if err != nil {
			t.Fatal(err)
		}
	}
	request("/reports?year=2026")
	trellistest.Await(t, func() bool { return strings.Contains(lines.String(), "/reports") }, "a line is printed")
	target.Close()
	request("/")
	trellistest.Await(t, func() bool { return strings.Contains(lines.String(), "refused") }, "another line is printed")
	printed := ""
	for line := range strings.Lines(lines.String()) {
		if !strings.Contains(line, "nobody.example") { // Some of those may come late.
			printed += line
		}
	}
	if got, want := alike(printed), alike(shown(t, "README.md", "trellis logs -f")); got != want {
		t.Errorf("trellis logs -f prints\n%s\nREADME.md has\n%s", got, want)
	}

	const cat = "gunzip -c logs/*.spool.gz"
	trellistest.Await(t, func() bool { return strings.Count(run(cat+" 2>&1 || true"), "\n") == 2 }, "the entries are in a file")
	entry, _, _ := strings.Cut(run(cat), "\n")
	if got, want := alike(entry+"\n"), alike(shown(t, "docs/logs.md", cat)); got != want {
		t.Errorf("%s prints\n%s\ndocs/logs.md has\n%s", cat, got, want)
	}

	const scrape = "curl -s http://127.0.0.1:7601/metrics | grep ^trellis_service_requests_total"
	if got, want := alike(run(strings.ReplaceAll(scrape, "http://127.0.0.1:7601", p.Admin))), alike(shown(t, "README.md", scrape)); got != want {
		t.Errorf("%s prints\n%s\nREADME.md has\n%s", scrape, got, want)
	}
}
