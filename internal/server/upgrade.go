package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"trellis/internal/configuration"
)

// The limits of an upgrade's steps. Only the calls under way take time; anything else that is slow is broken.
const (
	prepareTimeout = 60 * time.Second
	callsTimeout   = 10 * time.Second
	readyTimeout   = openTimeout + 30*time.Second
	retiredTimeout = 2 * time.Second
)

// knownPerMessage keeps messages below maxMessageBytes.
const knownPerMessage = 100

// sameProgram is this process's program, even if its file has been replaced.
const sameProgram = "/proc/self/exe"

// upgrades replaces this process by a new one on request. It returns nil when a new process serves or ctx has ended, and an
// error when this process cannot go on.
//
// Only one process at a time can have the catalog's data directory. So the new process first does everything else, and then
// this one gives the directory up. In between, the data plane goes on, and calls of the API wait. If the new process fails
// before that, nothing has changed. If it fails afterwards, a process of the program that is running now replaces it.
func (s *Server) upgrades(ctx context.Context, api, admin *httpPort, stopControl, stopShowing func()) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.cfg.Upgrade:
		}
		if obstacle := s.upgradeObstacle(); obstacle != "" {
			s.log.Error("this process cannot be replaced by a new one", "problem", obstacle)
			continue
		}
		next, err := s.prepareSuccessor(ctx, os.Args[0])
		if err == nil {
			if err = s.freeze(ctx, api, admin); err != nil {
				next.end()
			}
		}
		if err != nil {
			s.log.Error("the new process has failed before it could take over; this one goes on", "error", err)
			continue
		}
		stopControl()
		next, err = s.handOver(ctx, next, api, admin)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		stopShowing() // This process gets no more changes.
		s.retire(ctx, next, api, admin)
		return nil
	}
}

// upgradeObstacle says why this process cannot be replaced, or returns "".
func (s *Server) upgradeObstacle() string {
	switch {
	case s.cfg.Dev && len(s.cfg.Etcd.Endpoints) == 0:
		return "dev keeps its records in this process only"
	case s.cfg.Demo:
		return "the targets of the demo network are in this process"
	case os.Getpid() == 1:
		return "it is process 1, whose end is the container's"
	}
	return ""
}

// freeze makes calls wait from now on, and lets those under way finish. If that takes too long, everything goes on as
// before.
func (s *Server) freeze(ctx context.Context, api, admin *httpPort) error {
	ctx, cancel := context.WithTimeout(ctx, callsTimeout)
	defer cancel()
	api.pause()
	if err := api.idle(ctx); err != nil {
		api.resume()
		return fmt.Errorf("calls under way do not end: %w", err)
	}
	admin.pause() // Its responses may take long, such as a profile.
	return nil
}

// handOver gives up the catalog and lets a new process have it. If that fails, another process of this very program gets
// it; if that fails too, none can. It returns the process that serves.
func (s *Server) handOver(ctx context.Context, next *successor, api, admin *httpPort) (*successor, error) {
	began := time.Now()
	if err := s.catalog.Close(); err != nil {
		s.log.Warn("closing the catalog", "error", err)
	}
	ready, err := s.release(ctx, next)
	if err != nil && ctx.Err() == nil {
		s.log.Error("the new process has failed as it took over; another one of this program takes its place", "error", err)
		if next, err = s.prepareSuccessor(ctx, sameProgram); err == nil {
			ready, err = s.release(ctx, next)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("no new process could take over, and this one has given the catalog up: %w", err)
	}
	api.forwardTo(ready.API)
	admin.forwardTo(ready.Admin)
	s.log.Info("a new process has taken over", "pid", next.cmd.Process.Pid, "callsWaited", time.Since(began))
	return next, nil
}

// release tells a new process everything that it needs, and waits until it serves.
func (s *Server) release(ctx context.Context, next *successor) (ready message, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			next.end()
		}
	}()
	for port, socket := range s.proxy.Listeners() {
		if err := next.send(ctx, message{Kind: messageSocket, Socket: s.cfg.dataSocketName(port)}, socket); err != nil {
			return ready, err
		}
	}
	for at, socket := range s.proxy.ResourceListeners() {
		if err := next.send(ctx, message{Kind: messageSocket, Socket: resourceSocketName(at)}, socket); err != nil {
			return ready, err
		}
	}
	for some := range slices.Chunk(s.checker.Known(), knownPerMessage) {
		if err := next.send(ctx, message{Kind: messageKnown, Known: some}, nil); err != nil {
			return ready, err
		}
	}
	for _, session := range s.console.Sessions() {
		if err := next.send(ctx, message{Kind: messageKnown, Session: &session}, nil); err != nil {
			return ready, err
		}
	}
	if err := next.send(ctx, message{Kind: messageReleased}, nil); err != nil {
		return ready, err
	}
	return next.receive(ctx, messageReady)
}

// retire ends the work of this process, whose successor gets the new connections. Each connection that is kept alive may be
// used for one more request, if it comes in time.
func (s *Server) retire(ctx context.Context, next *successor, api, admin *httpPort) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	idleTimeout := s.cfg.DrainTimeout / 2
	idle, cancel := context.WithTimeout(ctx, idleTimeout)
	defer cancel()
	s.functions.Retire()
	var parts sync.WaitGroup
	parts.Go(func() {
		s.shutdownProxy(func() error {
			return s.proxy.Retire(ctx, idleTimeout, func() {
				// A process of an older version does not wait for this message.
				_ = next.send(ctx, message{Kind: messageRetired}, nil)
			})
		})
	})
	for _, d := range []*httpPort{api, admin} {
		// After that time, an idle connection is closed anyway.
		parts.Go(func() { _ = d.empty(idle) })
	}
	parts.Wait()
}

// successor is a new process that will take over.
type successor struct {
	cmd     *exec.Cmd
	channel *channel
}

// prepareSuccessor starts a new process with this one's arguments and environment, and waits until the new one needs only the
// catalog.
func (s *Server) prepareSuccessor(ctx context.Context, program string) (*successor, error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	next, err := startSuccessor(program)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, next); err != nil {
		next.end()
		return nil, err
	}
	return next, nil
}

// prepare hands a new process all sockets except the data plane's, and waits until it is prepared.
func (s *Server) prepare(ctx context.Context, next *successor) error {
	for _, m := range []struct {
		purpose, address string
		socket           net.Listener
	}{{apiSocket, s.cfg.APIAddr, s.apiListener}, {adminSocket, s.cfg.AdminAddr, s.adminListener}} {
		if err := next.send(ctx, message{Kind: messageSocket, Socket: socketName(m.purpose, m.address)}, m.socket.(syscall.Conn)); err != nil {
			return err
		}
	}
	if err := next.send(ctx, message{Kind: messageBegin, Pass: s.takeover.pass}, nil); err != nil {
		return err
	}
	_, err := next.receive(ctx, messagePrepared)
	return err
}

func startSuccessor(program string) (*successor, error) {
	path, err := exec.LookPath(program) // The path is looked up again, since the program may have been replaced by now.
	if err != nil {
		return nil, fmt.Errorf("finding the program: %w", err)
	}
	ours, theirs, err := newChannel()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(path)
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), configuration.TakeoverVariable+"="+strconv.Itoa(3)) // the first of ExtraFiles
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		ours.close()
		return nil, fmt.Errorf("starting the new process: %w", err)
	}
	return &successor{cmd: cmd, channel: ours}, nil
}

func (n *successor) send(ctx context.Context, m message, socket syscall.Conn) error {
	if err := n.channel.send(ctx, m, socket); err != nil {
		return fmt.Errorf("telling the new process: %w", err)
	}
	return nil
}

// receive waits for a kind of message.
func (n *successor) receive(ctx context.Context, kind messageKind) (message, error) {
	for {
		m, _, err := n.channel.receive(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return m, errors.New("the new process has ended; its log says why")
		case err != nil:
			return m, fmt.Errorf("waiting until the new process is %s: %w", kind, err)
		case m.Kind == kind:
			return m, nil
		}
	}
}

// end ends the new process: it will not take over.
func (n *successor) end() {
	n.channel.close()
	// The process may have ended by itself.
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}
