package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"

	"trellis/internal/configuration"
	"trellis/internal/console"
	"trellis/internal/health"
)

// The purposes of sockets that a process takes over.
const (
	apiSocket   = "api"
	adminSocket = "admin"
	dataSocket  = "data"

	resourceSocket = "resource"
)

// socketName names a socket for the other process. The address is the configured one, so that a new process that is
// configured otherwise opens sockets of its own.
func socketName(purpose, address string) string { return purpose + " " + address }

// takeover is what a new process knows of the one that it takes over from. Without one, this process opens everything itself.
type takeover struct {
	channel *channel // nil if there is no process to take over from, and after the takeover
	// pass is a secret of this process, the one that it takes over from and those that will take over from it. See httpPort.
	pass     string
	sessions []console.Session // which it had
	log      *slog.Logger

	mu      sync.Mutex // mu guards the field below.
	sockets map[string]net.Listener
}

// openTakeover finds out whether to take over, and from whom.
func (s *Server) openTakeover(ctx context.Context) error {
	t := &takeover{pass: rand.Text(), log: s.log, sockets: map[string]net.Listener{}}
	s.takeover = t
	s.atClose(func() error { t.close(); return nil })
	value, ok := os.LookupEnv(configuration.TakeoverVariable)
	if !ok {
		return nil
	}
	if err := os.Unsetenv(configuration.TakeoverVariable); err != nil { // This process's own children must not see it.
		return err
	}
	fd, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("%s: %w", configuration.TakeoverVariable, err)
	}
	if t.channel, err = openChannel(uintptr(fd)); err != nil {
		return err
	}
	_, err = t.receiveUntil(ctx, messageBegin)
	return err
}

// receiveUntil receives what the old process sends, up to a kind of message.
func (t *takeover) receiveUntil(ctx context.Context, last messageKind) (known []health.Known, err error) {
	for {
		m, socket, err := t.channel.receive(ctx)
		if err != nil {
			return nil, fmt.Errorf("the process to take over from does not go on: %w", err)
		}
		if socket != nil {
			t.mu.Lock()
			t.sockets[m.Socket] = socket
			t.mu.Unlock()
		}
		known = append(known, m.Known...)
		if m.Session != nil {
			t.sessions = append(t.sessions, *m.Session)
		}
		if m.Pass != "" {
			t.pass = m.Pass
		}
		if m.Kind == last {
			return known, nil
		}
	}
}

// listen opens a port, or takes over the socket of that name from the old process.
func (t *takeover) listen(config net.ListenConfig, name, address string) (net.Listener, error) {
	t.mu.Lock()
	socket, ok := t.sockets[name]
	delete(t.sockets, name)
	t.mu.Unlock()
	if ok {
		return socket, nil
	}
	return config.Listen(context.Background(), "tcp", address)
}

// prepared tells the old process that only the catalog is missing, and waits until the old one has closed it. It returns what
// the old process knew about targets.
func (t *takeover) prepared(ctx context.Context) ([]health.Known, error) {
	if t.channel == nil {
		return nil, nil
	}
	if err := t.channel.send(ctx, message{Kind: messagePrepared}, nil); err != nil {
		return nil, fmt.Errorf("telling the process to take over from: %w", err)
	}
	return t.receiveUntil(ctx, messageReleased)
}

// ready tells the old process that this one serves, and waits until the old one accepts no more connections. The old one still
// follows the old routes, and holds ports that will be closed, so no route may change before.
func (t *takeover) ready(ctx context.Context, api, admin net.Addr) {
	if t.channel == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, retiredTimeout)
	defer cancel()
	err := t.channel.send(ctx, message{Kind: messageReady, API: api.String(), Admin: admin.String()}, nil)
	if err == nil {
		_, err = t.receiveUntil(ctx, messageRetired)
	}
	if err != nil {
		t.log.Warn("the old process does not say that it accepts no more connections", "error", err)
	}
	t.log.Info("this process has taken over", "pid", os.Getpid())
	t.channel.close()
	t.channel = nil
}

// close closes the sockets that are not needed, since their ports are configured differently now.
func (t *takeover) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, socket := range t.sockets {
		socket.Close()
		delete(t.sockets, name)
	}
}

// notifyServiceManager tells systemd, if it started this node, that the node serves, and that this process is now the unit's
// main process.
func (s *Server) notifyServiceManager() {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nMAINPID="+strconv.Itoa(os.Getpid())); err != nil {
		s.log.Warn("the service manager cannot be told that this process serves", "error", err)
	}
}
