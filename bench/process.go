package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The cores: what is measured has one for itself, and what measures it has another, with the backend.
const (
	coreOfProxy = "0"
	coreOfLoad  = "1"
)

// process is a server that the bench has started.
type process struct {
	cmd    *exec.Cmd
	output *output
	exited chan struct{}
}

// output keeps what a process has written, so that a failure can be explained.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts a server on a core; an empty core means any. The caller stops it.
func start(core string, env []string, program string, args ...string) (*process, error) {
	if core != "" {
		args = append([]string{"-c", core, program}, args...)
		program = find("taskset") // It replaces itself by the program, so the process id is the program's.
	}
	p := &process{cmd: exec.Command(program, args...), output: &output{}, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // its output shows how it ended
	}()
	return p, nil
}

// stop ends the process and waits for it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		p.cmd.Process.Kill()
		<-p.exited
	}
}

// awaitPort waits until the process accepts connections on a port.
func (p *process) awaitPort(ctx context.Context, port int) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		conn, err := net.Dial("tcp", loopback(port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.exited:
			return fmt.Errorf("%s ended:\n%s", p.cmd, p.output)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer on port %d:\n%s", p.cmd, port, p.output)
		}
	}
}

// cpu returns how long all threads of the process and of its children have run. Threads that have ended do not count, so this
// cannot measure a server that starts a thread per request; none here does.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) (time.Duration, error) {
	total, children, err := threadsOf(pid)
	for _, child := range children {
		if err == nil {
			var of time.Duration
			of, err = cpuOf(child)
			total += of
		}
	}
	return total, err
}

// ownCPU is cpu without the children.
func (p *process) ownCPU() (time.Duration, error) {
	own, _, err := threadsOf(p.cmd.Process.Pid)
	return own, err
}

// threadsOf returns how long the threads of a process have run, and its children.
func threadsOf(pid int) (ran time.Duration, children []int, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return 0, nil, fmt.Errorf("process %d has no threads: %w", pid, os.ErrProcessDone)
	}
	for _, task := range tasks {
		schedstat, err := os.ReadFile(task + "/schedstat")
		if err != nil {
			continue // the thread has just ended
		}
		running, _, _ := strings.Cut(string(schedstat), " ")
		nanoseconds, err := strconv.ParseInt(running, 10, 64)
		if err != nil {
			return 0, nil, fmt.Errorf("reading %s/schedstat: %w", task, err)
		}
		ran += time.Duration(nanoseconds)
		list, err := os.ReadFile(task + "/children")
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(list)) {
			childPID, err := strconv.Atoi(child)
			if err != nil {
				return 0, nil, fmt.Errorf("reading %s/children: %w", task, err)
			}
			children = append(children, childPID)
		}
	}
	return ran, children, nil
}

// lifetimeCPU returns how long the process has run, threads that have ended included, in steps of 10 ms.
func (p *process) lifetimeCPU() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// proc(5): utime and stime are the fields 14 and 15, and the name, in brackets, is the second.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	utime, _ := strconv.ParseInt(fields[11], 10, 64)
	stime, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(utime+stime) * 10 * time.Millisecond
}

// memory returns how many bytes of memory the process and its children have.
func (p *process) memory() (int64, error) { return memoryOf(p.cmd.Process.Pid) }

func memoryOf(pid int) (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	total := resident * int64(os.Getpagesize())
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return 0, err
	}
	for child := range strings.FieldsSeq(string(children)) {
		childPID, err := strconv.Atoi(child)
		if err != nil {
			return 0, err
		}
		of, err := memoryOf(childPID)
		if err != nil {
			return 0, err
		}
		total += of
	}
	return total, nil
}

// peakMemory returns the most bytes of memory that the process itself has had.
func (p *process) peakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kilobytes int64
			_, err := fmt.Sscan(rest, &kilobytes)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("the kernel does not report the peak memory of process %d", p.cmd.Process.Pid)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts returns ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var listeners []io.Closer
	defer func() {
		for _, l := range listeners {
			l.Close()
		}
	}()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
