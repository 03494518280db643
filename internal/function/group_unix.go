//go:build unix && !linux

package function

import (
	"os/exec"
	"syscall"
)

// isolate gives a program a process group of its own. The keeper has it killed when this process ends.
func isolate(cmd *exec.Cmd) error {
	ownGroup(cmd)
	return nil
}

func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGKILL) }

// waitFor waits until a process has ended, and calls a function. The number of the group is not given to others as long as
// a child of the process has it.
func waitFor(cmd *exec.Cmd, ended func()) {
	_ = cmd.Wait() // The process's state says more than the error.
	ended()
}

// killMarked does nothing here: a process cannot see the environment of others.
func killMarked(string) {}
