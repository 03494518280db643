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

// subprocessVariable makes the test program a separate process, for what must not disturb the rest.
const subprocessVariable = "TRELLIS_STORIES_SUBPROCESS"

// The processes, and what serves calls to them.
const (
	proberProcess = "prober" // Prober
	faultsProcess = "faults" // Faults
)

// TestMain runs the tests, or a process of theirs, which answers calls on its standard input and output until that ends.
func TestMain(m *testing.M) {
	switch os.Getenv(subprocessVariable) {
	case "":
		os.Exit(m.Run())
	case proberProcess:
		serveCalls(new(Prober))
	case faultsProcess:
		if err := giveWay(); err != nil {
			fmt.Fprintln(os.Stderr, "giving way to other processes:", err)
			os.Exit(1)
		}
		serveCalls(new(Faults))
	}
}

func serveCalls(receiver any) {
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

// giveWay starts this program again with a low priority: thousands of faulty clients would be on other machines, and must
// not take the processors from what is measured.
func giveWay() error {
	const done = "TRELLIS_STORIES_GIVES_WAY"
	if os.Getenv(done) != "" {
		return nil
	}
	runtime.LockOSThread() // On Linux the priority is the thread's, which the new program begins with.
	if err := lowestPriority(); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(program, os.Args, append(os.Environ(), done+"=1"))
}

// startSubprocess starts a process, which ends with the test.
func startSubprocess(t *testing.T, name string) *subprocess {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), subprocessVariable+"="+name)
	cmd.Stderr = os.Stderr
	in := must(cmd.StdinPipe())(t)
	out := must(cmd.StdoutPipe())(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &subprocess{rpc.NewClient(pipes{out, in})}
	t.Cleanup(func() {
		s.client.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process %s: %v", name, err)
		}
	})
	return s
}

// subprocess calls a separate process.
type subprocess struct{ client *rpc.Client }

func (s *subprocess) call(t *testing.T, method string, args, reply any) {
	t.Helper()
	if err := s.client.Call(method, args, reply); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}
