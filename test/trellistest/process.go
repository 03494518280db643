// Package trellistest runs the built program for tests that treat it as its users do: as a process with an
// address, which can be stopped, or killed. The program is built with the race detector, and a race ends it.
package trellistest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The limits keep a hanging program from hanging the tests.
const (
	startLimit = awaitLimit
	stopLimit  = awaitLimit
)

// Build builds the program with the race detector and returns its path. All tests of a package share it: linking takes four
// seconds of a processor, which was most of what some packages took. A test that changes the file makes a copy.
func Build(t testing.TB) string {
	t.Helper()
	return built(t, withRace)
}

// BuildFast builds the program without the race detector, for tests of many rounds that are about the store. See Build.
func BuildFast(t testing.TB) string {
	t.Helper()
	return built(t, withoutRace)
}

var (
	withRace    = sync.OnceValues(func() (string, error) { return build("race", "-race") })
	withoutRace = sync.OnceValues(func() (string, error) { return build("fast") })
)

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// build puts the program beside the tests' own, which go test removes with its folder.
func build(flavour string, flags ...string) (string, error) {
	tests, err := os.Executable()
	if err != nil {
		return "", err
	}
	if errRoot != nil {
		return "", errRoot
	}
	program := filepath.Join(tests+".programs", flavour, "trellis")
	// Without the version control's stamp the build works in an unpacked archive too.
	args := append(append([]string{"build", "-buildvcs=false"}, flags...), "-o", program, "./cmd/trellis")
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building trellis: %w\n%s", err, out)
	}
	return program, nil
}

// Process is a running program.
type Process struct {
	// API and Admin are the URLs of the two ports.
	API, Admin string

	t      testing.TB
	cmd    *exec.Cmd     // the process that was started first
	exited chan struct{} // closed when cmd has ended
	killed bool

	successor int            // the process that has taken over; 0 before Upgrade
	outputs   sync.WaitGroup // the goroutines that read what the processes write

	mu  sync.Mutex // mu guards log.
	log bytes.Buffer
}

// Start starts a command of the program on free ports, and waits until it has printed the address of its API. When the test
// ends, the program is asked to stop, and must do so with exit code 0.
func Start(t testing.TB, program, command string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, exited: make(chan struct{})}
	if command == "serve" { // The targets of tests are on the loopback.
		args = append([]string{"--allow-targets", "127.0.0.0/8,::1/128"}, args...)
	}
	p.cmd = exec.Command(program, append([]string{command, "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	// Our own pipes, since a process that takes over writes to them too when the first one has ended.
	stdout, stderr := p.pipe(&p.cmd.Stdout), p.pipe(&p.cmd.Stderr)
	err := p.cmd.Start()
	p.cmd.Stdout.(*os.File).Close()
	p.cmd.Stderr.(*os.File).Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // the exit code says more than the error
	}()
	p.outputs.Go(func() {
		defer stderr.Close()
		_, _ = io.Copy(writer{p}, stderr)
	})
	addresses := make(chan [2]string, 2)
	p.outputs.Go(func() {
		defer stdout.Close()
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 2 && (fields[0] == "API" || fields[0] == "admin") {
				select {
				case addresses <- [2]string{fields[0], fields[1]}:
				default: // from a process that has taken over, with
				}
			}
		}
	})
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
	p.StopBy(syscall.SIGTERM)
}

// StopBy is Stop by another signal.
func (p *Process) StopBy(signal syscall.Signal) {
	p.t.Helper()
	if p.killed {
		return
	}
	p.killed = true
	_ = syscall.Kill(p.PID(), signal)
	p.awaitExit()
	p.outputs.Wait()
	if p.t.Failed() {
		p.t.Logf("trellis logged:\n%s", p.Log())
	}
}

// Kill ends the program as kill -9 does.
func (p *Process) Kill() {
	p.killed = true
	_ = p.cmd.Process.Kill()
	<-p.exited
	p.outputs.Wait()
}

// Interrupt sends what Ctrl-C sends.
func (p *Process) Interrupt() { _ = syscall.Kill(p.PID(), syscall.SIGINT) }

// InterruptUntilKilled interrupts the program until it has ended by that, instead of catching it.
func (p *Process) InterruptUntilKilled() {
	p.t.Helper()
	p.killed = true
	Await(p.t, func() bool {
		select {
		case <-p.exited:
			return true
		default:
			p.Interrupt()
			return false
		}
	}, "the program has ended")
	p.outputs.Wait()
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
		p.t.Errorf("trellis ended with %s", p.cmd.ProcessState)
	}
}

// pipe makes a pipe, the end of which for writing is the program's.
func (p *Process) pipe(end *io.Writer) *os.File {
	p.t.Helper()
	ours, theirs, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	*end = theirs
	return ours
}

// PID returns the number of the process.
func (p *Process) PID() int {
	if p.successor != 0 {
		return p.successor
	}
	return p.cmd.Process.Pid
}

// awaitExit waits until the process that served has ended: with 0 if it was asked to stop, with 66 after a data race.
func (p *Process) awaitExit() {
	p.t.Helper()
	pid := p.PID()
	limit := time.AfterFunc(stopLimit, func() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		p.t.Errorf("trellis did not stop")
	})
	defer limit.Stop()
	if p.successor == 0 {
		<-p.exited
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			p.t.Errorf("trellis ended with %s", p.cmd.ProcessState)
		}
		return
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			p.t.Errorf("waiting for trellis: %v", err)
		} else if status.ExitStatus() != 0 {
			p.t.Errorf("trellis ended with %d (signal %d)", status.ExitStatus(), status.Signal())
		}
		return
	}
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
