package resolver

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"trellis/test/trellistest"
)

// node answers /names with a text that a test may change.
func node(t *testing.T, names string) (url string, answer *atomic.Pointer[string]) {
	t.Helper()
	answer = &atomic.Pointer[string]{}
	answer.Store(&names)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/names" {
			http.NotFound(w, r)
			return
		}
		io.WriteString(w, *answer.Load())
	}))
	t.Cleanup(s.Close)
	return s.URL, answer
}

const before = "127.0.0.1 localhost\n"

func hosts(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func contents(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const orders = `{"names": [{"name": "orders.localhost", "addresses": ["127.0.0.1"]}]}`

func TestInstallShowsAsksAndWritesOnceAndUninstallRemoves(t *testing.T) {
	url, _ := node(t, orders)
	file := hosts(t)
	var out, errOut bytes.Buffer
	install := Install{Admin: url, Hosts: file, Once: true}
	if code := install.Run(t.Context(), strings.NewReader("n\n"), &out, &errOut); code != exitFailed || contents(t, file) != before {
		t.Errorf("declined: exit code %d, file %q", code, contents(t, file))
	}
	if !strings.Contains(out.String(), "127.0.0.1 orders.localhost") || !strings.Contains(out.String(), file) {
		t.Errorf("it does not say what it is about to do:\n%s", &out)
	}
	if code := install.Run(t.Context(), strings.NewReader(""), &out, &errOut); code != exitFailed || !strings.Contains(errOut.String(), "--yes") {
		t.Errorf("nobody answers: exit code %d, %s", code, &errOut)
	}
	if code := install.Run(t.Context(), strings.NewReader("y\n"), &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	if want := before + beginMark + url + "\n127.0.0.1 orders.localhost\n" + endMark + "\n"; contents(t, file) != want {
		t.Errorf("the file is %q, want %q", contents(t, file), want)
	}
	if code := (Uninstall{Hosts: file}).Run(strings.NewReader("y\n"), &out, &errOut); code != 0 || contents(t, file) != before {
		t.Errorf("uninstalled: exit code %d, file %q", code, contents(t, file))
	}
	if code := (Uninstall{Hosts: file}).Run(strings.NewReader(""), &out, &errOut); code != 0 {
		t.Errorf("uninstalled again: exit code %d: %s", code, &errOut)
	}
}

func TestInstallFollowsTheNodeUntilItIsStopped(t *testing.T) {
	url, answer := node(t, orders)
	file := hosts(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- Install{Admin: url, Hosts: file, Yes: true}.Run(ctx, strings.NewReader(""), io.Discard, io.Discard)
	}()
	trellistest.Await(t, func() bool { return strings.Contains(contents(t, file), "orders.localhost") }, "the first names are written")
	broken, later := "not JSON", `{"names": [{"name": "shop.localhost", "addresses": ["127.0.0.1"]}]}`
	answer.Store(&broken)
	answer.Store(&later)
	trellistest.Await(t, func() bool {
		text := contents(t, file)
		return strings.Contains(text, "shop.localhost") && !strings.Contains(text, "orders.localhost")
	}, "the names have been replaced")
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.HasPrefix(contents(t, file), before) {
		t.Errorf("the rest of the file is %q", contents(t, file))
	}
}

func TestInstallDoesNotChangeAFileWithDamagedMarks(t *testing.T) {
	url, _ := node(t, orders)
	file := hosts(t)
	damaged := before + beginMark + url + "\n127.0.0.1 mine.localhost\n"
	if err := os.WriteFile(file, []byte(damaged), 0o644); err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	if code := (Install{Admin: url, Hosts: file, Once: true, Yes: true}).Run(t.Context(), nil, io.Discard, &errOut); code != exitFailed || contents(t, file) != damaged {
		t.Errorf("exit code %d, file %q, %s", code, contents(t, file), &errOut)
	}
}
