package trellistest

import (
	"strconv"
	"strings"
	"syscall"
)

// Upgrade asks the program to let a new process take over, waits until that serves, and then until the old one has ended,
// which must succeed.
func (p *Process) Upgrade() {
	p.t.Helper()
	adopt(p)
	line := "this process has taken over"
	before := strings.Count(p.Log(), line)
	_ = syscall.Kill(p.PID(), syscall.SIGUSR2)
	Await(p.t, func() bool { return strings.Count(p.Log(), line) > before }, "a new process takes over")
	_, after, _ := strings.Cut(p.Log()[strings.LastIndex(p.Log(), line):], "pid=")
	pid, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		p.t.Fatal(err)
	}
	p.awaitExit()
	p.successor = pid
}

// adopt makes processes children of this one when their parents have ended, so that it can wait for them.
func adopt(p *Process) {
	const prSetChildSubreaper = 36
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0); errno != 0 {
		p.t.Fatal(errno)
	}
}
