package stories_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"trellis/test/trellistest"
)

// smallDisk mounts a file system of a size, and returns its directory.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillDisk writes a file until the disk is full, and returns its path.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for zeros := make([]byte, 1<<16); ; {
		if _, err := f.Write(zeros); errors.Is(err, syscall.ENOSPC) {
			return f.Name()
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// readiness is the response of /readyz.
type readiness struct {
	status  int
	Ready   bool   `json:"ready"`
	Writes  bool   `json:"writes"`
	Catalog string `json:"catalog"`
}

// ready asks the admin port, which must answer at once.
func ready(t *testing.T, p *trellistest.Process) (r readiness) {
	t.Helper()
	response, err := (&http.Client{Timeout: 30 * time.Second}).Get(p.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	r.status = response.StatusCode
	return r
}

// awaitReady waits until the admin port gives the wanted response.
func awaitReady(t *testing.T, p *trellistest.Process, what string, want func(readiness) bool) readiness {
	t.Helper()
	var r readiness
	trellistest.Await(t, func() bool {
		r = ready(t, p)
		return want(r)
	}, "/readyz answers: %s", what)
	return r
}

// wantUnavailable checks that an error is a 5xx that says why.
func wantUnavailable(t *testing.T, err error, why string) {
	t.Helper()
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	apiError, coded := errors.AsType[smithy.APIError](err)
	if !ok || !coded || response.HTTPStatusCode() != http.StatusInternalServerError || !strings.Contains(apiError.ErrorMessage(), why) {
		t.Errorf("got %v, want a 500 that says %q", err, why)
	}
}

func TestTrafficGoesOnWhileTheDiskIsFull(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, "100m")
	backend, arrived, answerSlow := slowBackend(t)
	defer answerSlow()
	dataPort := trellistest.FreePort(t)
	program := trellistest.Build(t)
	data := filepath.Join(disk, "data")
	start := func() (*trellistest.Process, *vpclattice.Client) {
		p := trellistest.Start(t, program, "serve", "--data-dir", data, "--port-map", fmt.Sprintf("80=%d", dataPort))
		return p, client(t, p.API, filepath.Join(data, "credentials"))
	}
	p, c := start()
	n := buildNetwork(t, c, backend)
	expectAnswer(t, n.host, dataPort)

	slow := make(chan error, 1)
	go func() {
		status, _, err := get(context.Background(), n.host, dataPort, "/slow")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		slow <- err
	}()
	<-arrived
	stop := make(chan struct{})
	var traffic sync.WaitGroup
	stopTraffic := sync.OnceFunc(func() {
		close(stop)
		traffic.Wait()
	})
	defer stopTraffic()
	traffic.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				expectAnswer(t, n.host, dataPort)
				time.Sleep(5 * time.Millisecond) // Sleeps: a client's pace.
			}
		}
	})

	filler := fillDisk(t, disk)
	wantUnavailable(t, createGroup(t, c, "refused"), "the disk of the embedded store is full")
	full := awaitReady(t, p, "the disk is full", func(r readiness) bool { return !r.Writes })
	if !full.Ready || full.status != http.StatusOK || !strings.Contains(full.Catalog, disk) {
		t.Errorf("/readyz answers %+v", full)
	}
	if groups := must(c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t); len(groups.Items) != 1 {
		t.Errorf("%d target groups can be read, want 1", len(groups.Items))
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, p, "there is room again", func(r readiness) bool { return r.Writes })
	if err := createGroup(t, c, "accepted"); err != nil {
		t.Error(err)
	}
	answerSlow()
	if err := <-slow; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	stopTraffic()

	p.Kill()
	_, c = start()
	names := map[string]bool{}
	for _, group := range must(c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t).Items {
		names[*group.Name] = true
	}
	if len(names) != 2 || !names["accepted"] {
		t.Errorf("after a restart there are the target groups %v", names)
	}
	expectAnswer(t, n.host, dataPort)
}

func TestAStartWithoutSpaceSaysHowMuchIsMissing(t *testing.T) {
	t.Parallel()
	program := trellistest.BuildFast(t)
	disk := smallDisk(t, "20m")
	out := failsToStart(t, program, "serve", "--data-dir", filepath.Join(disk, "data"))
	if !strings.Contains(out, "MB free, and the store needs 50.3 MB") {
		t.Errorf("the program says\n%s", out)
	}
}

func TestADamagedStoreIsNamed(t *testing.T) {
	t.Parallel()
	program := trellistest.BuildFast(t)
	for name, damage := range map[string]func(path string) error{
		"member/snap/db": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("nonsense", 8192)), 0o600) },
		"member/wal/0000000000000000-0000000000000000.wal": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte(strings.Repeat("nonsense", 64)), 64)
			return errors.Join(err, f.Close())
		},
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := trellistest.Start(t, program, "serve", "--data-dir", dir)
			if err := createGroup(t, client(t, p.API, filepath.Join(dir, "credentials")), "group"); err != nil {
				t.Fatal(err)
			}
			p.Stop()
			if err := damage(filepath.Join(dir, "etcd", name)); err != nil {
				t.Fatal(err)
			}
			out := failsToStart(t, program, "serve", "--data-dir", dir)
			if !strings.Contains(out, "the embedded store in "+filepath.Join(dir, "etcd")+" cannot be opened") || !strings.Contains(out, "backup") {
				t.Errorf("the program says\n%s", out)
			}
		})
	}
}

func TestWritesFailSoonWhileTheClusterHangs(t *testing.T) {
	t.Parallel()
	members := startCluster(t)
	var endpoints []string
	for _, m := range members {
		endpoints = append(endpoints, m.endpoint)
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer backend.Close()
	dir, dataPort := t.TempDir(), trellistest.FreePort(t)
	p := trellistest.Start(t, trellistest.Build(t), "serve", "--etcd-endpoints", strings.Join(endpoints, ","), "--data-dir", dir,
		"--port-map", fmt.Sprintf("80=%d", dataPort))
	c := client(t, p.API, filepath.Join(dir, "credentials"))
	n := buildNetwork(t, c, backend.Listener.Addr().String())

	for _, m := range members {
		if err := m.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	ready(t, p) // at once
	wantUnavailable(t, createGroup(t, c, "in-flight"), "etcd does not answer")
	hangs := ready(t, p)
	if !hangs.Ready || hangs.Writes || !strings.Contains(hangs.Catalog, "has not answered") {
		t.Errorf("/readyz answers %+v", hangs)
	}
	wantUnavailable(t, createGroup(t, c, "refused"), "etcd does not answer")
	expectAnswer(t, n.host, dataPort)
	if groups := must(c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t); len(groups.Items) != 1 {
		t.Errorf("%d target groups can be read, want 1", len(groups.Items))
	}

	for _, m := range members {
		if err := m.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	awaitReady(t, p, "etcd goes on", func(r readiness) bool { return r.Writes })
	if err := createGroup(t, c, "accepted"); err != nil {
		t.Error(err)
	}
	expectAnswer(t, n.host, dataPort)

	for _, m := range members {
		m.kill()
	}
	gone := awaitReady(t, p, "etcd is gone", func(r readiness) bool { return !r.Writes })
	if !strings.Contains(gone.Catalog, "connection refused") {
		t.Errorf("/readyz answers %+v", gone)
	}
	expectAnswer(t, n.host, dataPort)
}
