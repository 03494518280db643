//go:build unix

package stories_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/test/trellistest"
)

// awaitLog waits until a process has logged something.
func awaitLog(t *testing.T, p *trellistest.Process, what string) {
	t.Helper()
	trellistest.Await(t, func() bool { return strings.Contains(p.Log(), what) }, "the program logs %q", what)
}

func TestHangupMakesServeReadItsFilesAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	credentials, auditLog := filepath.Join(dir, "credentials"), filepath.Join(dir, "audit.log")
	p := trellistest.Start(t, trellistest.Build(t), "serve", "--data-dir", dir)
	old := client(t, p.API, credentials)
	if err := createGroup(t, old, "before"); err != nil {
		t.Fatal(err)
	}

	// Another key, in a file that looks as if it had not changed.
	info, err := os.Stat(credentials)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(credentials)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "aws_access_key_id") {
			lines[i] = "aws_access_key_id = AKIAANOTHERKEY"
		}
	}
	if err := os.WriteFile(credentials, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(credentials, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(auditLog, auditLog+".moved"); err != nil {
		t.Fatal(err)
	}

	if err := syscall.Kill(p.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, p, "everything has been read again")
	if err := createGroup(t, client(t, p.API, credentials), "after"); err != nil {
		t.Error(err)
	}
	if _, err := old.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}); err == nil {
		t.Error("the old key is still accepted")
	}
	p.Stop()
	for path, want := range map[string]string{auditLog + ".moved": `"before"`, auditLog: `"after"`} {
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), want) || strings.Count(string(text), "CreateTargetGroup") != 1 {
			t.Errorf("%s has\n%s%v, want %s alone", path, text, err, want)
		}
	}
}

func TestHangupEndsDevCleanly(t *testing.T) {
	t.Parallel()
	// A process inherits that SIGHUP is ignored, as nohup sets it, and dev respects that. It does not inherit that a signal
	// is caught.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(hangups) })
	p := trellistest.Start(t, trellistest.Build(t), "dev")
	p.StopBy(syscall.SIGHUP)
	if !strings.Contains(p.Log(), "msg=stopped") {
		t.Errorf("the program has not stopped cleanly:\n%s", p.Log())
	}
}

// TestSecondInterruptEndsDevAtOnce interrupts a node while a request is under way, for which it waits.
func TestSecondInterruptEndsDevAtOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	backend, arrived, answerSlow := slowBackend(t)
	defer answerSlow()
	dataPort := trellistest.FreePort(t)
	start := func() *trellistest.Process {
		return trellistest.Start(t, trellistest.BuildFast(t), "dev", "--port-map", fmt.Sprintf("80=%d", dataPort), "--ca-dir", t.TempDir(), "--drain-timeout", "1h")
	}
	p := start()
	n := buildNetwork(t, anybody(p.API), backend)
	go func() { _, _, _ = get(context.Background(), n.host, dataPort, "/slow") }()
	<-arrived
	p.Interrupt()
	awaitLog(t, p, "stopping; exchanges in flight may finish")
	p.InterruptUntilKilled()
	left := func() int {
		found, err := filepath.Glob(filepath.Join(os.TempDir(), "trellis-*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n := left(); n != 1 {
		t.Errorf("%d directories are left", n)
	}
	start().Stop()
	if n := left(); n != 0 {
		t.Errorf("%d directories are left after the next start", n)
	}
}

func TestKilledDevLeavesLittleBehindAndTheNextOneRemovesIt(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	program := trellistest.BuildFast(t)
	start := func() *trellistest.Process {
		return trellistest.Start(t, program, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)), "--ca-dir", t.TempDir())
	}
	directories := func() []string {
		found, err := filepath.Glob(filepath.Join(temporary, "trellis-*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	living, killed := start(), start()
	if err := createGroup(t, client(t, killed.API, anyCredentials(t)), "group"); err != nil {
		t.Fatal(err)
	}
	killed.Kill()
	var size int64
	for _, dir := range directories() {
		err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			info, err := entry.Info()
			if err == nil {
				size += info.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if size /= 2; size > 20<<20 {
		t.Errorf("each process needs %d MB, want at most 20", size>>20)
	}
	next := start()
	if got := directories(); len(got) != 2 {
		t.Errorf("the directories are %q, want one for each of two processes", got)
	}
	if err := createGroup(t, client(t, living.API, anyCredentials(t)), "group"); err != nil {
		t.Errorf("the process that lives: %v", err)
	}
	next.Stop()
	living.Stop()
	if got := directories(); len(got) != 0 {
		t.Errorf("the directories %q are left, want none", got)
	}
}

// anyCredentials returns a credentials file, for dev.
func anyCredentials(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(path, []byte("[default]\naws_access_key_id = any\naws_secret_access_key = any\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
