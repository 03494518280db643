package function

import (
	"log/slog"
	"os/exec"
	"runtime"
	"sync"
)

// starter starts processes from one thread that lives until close: Linux kills them when the thread that started them ends,
// which then means that this process has ended (prctl(2), PR_SET_PDEATHSIG).
type starter struct {
	prefix  string // the name of the variable that marks the processes and their children
	log     *slog.Logger
	asked   chan startRequest
	running sync.WaitGroup

	mu     sync.Mutex // mu guards the field below.
	keeper *keeper    // nil before the first process, and where no keeper can run
}

type startRequest struct {
	cmd  *exec.Cmd
	done chan error
}

func newStarter(prefix string, log *slog.Logger) *starter {
	s := &starter{prefix: prefix, log: log, asked: make(chan startRequest)}
	s.running.Go(s.run)
	return s
}

func (s *starter) run() {
	runtime.LockOSThread() // The thread is never unlocked, and so ends with the goroutine.
	for request := range s.asked {
		request.done <- request.cmd.Start()
	}
}

// start starts a process as the leader of a process group of its own.
func (s *starter) start(cmd *exec.Cmd) error {
	if err := isolate(cmd); err != nil {
		return err
	}
	s.mu.Lock()
	if s.keeper == nil {
		var err error
		if s.keeper, err = startKeeper(s.prefix, s.startHere); err != nil {
			s.log.Warn("if this process is killed, processes that functions have started may go on", "error", err)
		}
	}
	k := s.keeper
	s.mu.Unlock()
	if err := s.startHere(cmd); err != nil {
		return err
	}
	k.keep(cmd.Process.Pid)
	return nil
}

func (s *starter) startHere(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	s.asked <- startRequest{cmd, done}
	return <-done
}

// forget is called when a process and its group have ended.
func (s *starter) forget(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keeper.forget(pid)
}

// close is called when all processes have ended.
func (s *starter) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keeper.close()
	close(s.asked)
	s.running.Wait()
}
