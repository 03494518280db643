package function

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolate gives a program a process group of its own, and has it killed when this process ends.
func isolate(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return nil
}

func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func killGroup(leader int) { _ = syscall.Kill(-leader, syscall.SIGKILL) }

// waitFor waits until a process has ended, and calls a function before its number can be given to another.
func waitFor(cmd *exec.Cmd, ended func()) {
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	ended()
	_ = cmd.Wait() // The process's state says more than the error.
}

// maxKillRounds bounds how often to look for processes that were started in the meantime.
const maxKillRounds = 20

// killMarked kills all processes whose environment has a variable that begins with a text of the form NAME=VALUE: the
// children of a function that have left its process group.
func killMarked(mark string) {
	for range maxKillRounds {
		found := false
		names, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, name := range names {
			environment, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(append([]byte{0}, environment...), append([]byte{0}, mark...)) {
				continue // zombies have no environment, and other users' processes are not ours
			}
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil && pid != os.Getpid() {
				found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
			}
		}
		if !found {
			return
		}
	}
}
