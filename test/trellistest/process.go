// Package trellistest runs the built program for tests that treat it as its users do: as a process with an
// address, which can be stopped, or killed. The program is built with the race detector, and a race ends it.
package trellistest

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The limits only keep a hanging program from hanging the tests.
const (
	startLimit = time.Minute
	stopLimit  = time.Minute
)

// Build builds the program with the race detector and returns its path.
func Build(t testing.TB) string {
	t.Helper()
	return build(t, "-race")
}

// BuildFast builds the program without the race detector, for tests of many rounds that are about the store.
func BuildFast(t testing.TB) string {
	t.Helper()
	return build(t)
}

func build(t testing.TB, flags ...string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	program := filepath.Join(t.TempDir(), "trellis")
	// Without the version control's stamp the build works in an unpacked archive too.
	args := append(append([]string{"build", "-buildvcs=false"}, flags...), "-o", program, "./cmd/trellis")
	cmd := exec.Command("go", args...)
	cmd.Dir = filepath.Join(filepath.Dir(here), "../..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building trellis: %v\n%s", err, out)
	}
	return program
}

// Process is a running program.
type Process struct {
	// API and Admin are the URLs of the two ports.
	API, Admin string

	t      testing.TB
	cmd    *exec.Cmd
	exited chan struct{}
	killed bool

	mu  sync.Mutex // mu guards log.
	log bytes.Buffer
}

// Start starts a command of the program on free ports, and waits until it says where its API is. When the test is
// over the program is asked to stop, and must do so with exit code 0.
func Start(t testing.TB, program, command string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, exited: make(chan struct{})}
	p.cmd = exec.Command(program, append([]string{command, "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	p.cmd.Stderr = writer{p}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan [2]string, 2)
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 2 && (fields[0] == "API" || fields[0] == "admin") {
				addresses <- [2]string{fields[0], fields[1]}
			}
		}
		// The exit code tells more than the error.
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.Stop)
	timeout := time.After(startLimit)
	for p.API == "" || p.Admin == "" {
		select {
		case a := <-addresses:
			if a[0] == "API" {
				p.API = a[1]
			} else {
				p.Admin = a[1]
			}
		case <-p.exited:
			t.Fatalf("trellis ended at its start with %s\n%s", p.cmd.ProcessState, p.Log())
		case <-timeout:
			t.Fatalf("trellis did not say where its ports are\n%s", p.Log())
		}
	}
	return p
}

// Stop asks the program to stop, waits until it has, and fails the test unless it ended well.
func (p *Process) Stop() {
	p.t.Helper()
	if p.killed {
		return
	}
	p.killed = true
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.t.Errorf("trellis did not stop")
	}
	// Asked to stop, it ends with 0; a data race ends it with 66.
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("trellis ended with %s", p.cmd.ProcessState)
	}
	if p.t.Failed() {
		p.t.Logf("trellis logged:\n%s", p.Log())
	}
}

// Kill ends the program as kill -9 does.
func (p *Process) Kill() {
	p.killed = true
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Log returns what the program has written to standard error.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

type writer struct{ p *Process }

func (w writer) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.p.log.Write(b)
}

// FreePort returns a port of the loopback on which nobody listens.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
