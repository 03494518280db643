package stories_test

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// helperVariable makes the test program a helper: a process of its own for what must not disturb the rest.
const helperVariable = "TRELLIS_STORIES_HELPER"

// The helpers.
const (
	helperProber = "prober" // Prober
	helperFaults = "faults" // Faults
)

// TestMain runs the tests, or a helper of theirs, which answers calls on its standard input and output until that ends.
func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "":
		os.Exit(m.Run())
	case helperProber:
		serveHelper(new(Prober))
	case helperFaults:
		if err := giveWay(); err != nil {
			fmt.Fprintln(os.Stderr, "giving way to other processes:", err)
			os.Exit(1)
		}
		serveHelper(new(Faults))
	}
}

func serveHelper(receiver any) {
	server := rpc.NewServer()
	if err := server.Register(receiver); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server.ServeConn(pipes{os.Stdin, os.Stdout})
}

// pipes is a connection of two pipes.
type pipes struct {
	io.ReadCloser
	out io.WriteCloser
}

func (p pipes) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p pipes) Close() error                { return errors.Join(p.out.Close(), p.ReadCloser.Close()) }

// giveWay starts this program anew with the lowest priority: thousands of clients at fault would have machines of their
// own, and must not take the processors from what is measured.
func giveWay() error {
	const done = "TRELLIS_STORIES_GIVES_WAY"
	if os.Getenv(done) != "" {
		return nil
	}
	runtime.LockOSThread() // On Linux the priority is the thread's, which the new program begins with.
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(program, os.Args, append(os.Environ(), done+"=1"))
}

// startHelper starts a helper, which ends with the test.
func startHelper(t *testing.T, name string) *helper {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), helperVariable+"="+name)
	cmd.Stderr = os.Stderr
	in := must(cmd.StdinPipe())(t)
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helper{rpc.NewClient(pipes{out, in})}
	t.Cleanup(func() {
		h.client.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the helper %s: %v", name, err)
		}
	})
	return h
}

// helper calls a helper.
type helper struct{ client *rpc.Client }

func (h *helper) call(t *testing.T, method string, args, reply any) {
	t.Helper()
	if err := h.client.Call(method, args, reply); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}
