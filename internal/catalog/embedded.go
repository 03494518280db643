package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// embedded keeps an etcd server running within this process, which listens nowhere: clients call it directly. When the
// server fails it is started again, as soon as there is room for it; until then there is none.
type embedded struct {
	cfg Config
	dir string // of etcd
	log *slog.Logger

	// Only run uses the fields below.
	room     room
	failures int // servers that did not start or did not end

	mu      sync.Mutex // mu guards the fields below.
	server  *server    // nil while there is none
	err     *UnavailableError
	started chan struct{} // closed when there is a server again
}

// openEmbedded starts a server.
func openEmbedded(ctx context.Context, cfg Config) (_ *store, err error) {
	var undo []func()
	closeAll := func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()

	dir := cfg.DataDir
	var lock io.Closer
	if dir == "" {
		removeAbandoned(cfg.Log)
		if dir, lock, err = makeTemporary(); err != nil {
			return nil, err
		}
		undo = append(undo, func() { os.RemoveAll(dir) })
	} else if lock, err = lockDirectory(dir); err != nil {
		return nil, err
	}
	undo = append(undo, func() { lock.Close() })

	e := &embedded{cfg: cfg, dir: filepath.Join(dir, "etcd"), log: cfg.Log, started: make(chan struct{})}
	e.room = room{dir: e.dir, temporary: cfg.Ephemeral}
	need := int64(reserveBytes)
	if !fileutil.Exist(filepath.Join(e.dir, "member")) {
		need = newStoreBytes
	}
	if err := checkRoom(dir, need); err != nil {
		return nil, err
	}
	if err := e.start(ctx); err != nil {
		return nil, err
	}
	undo = append(undo, e.stop)
	return &store{kv: embeddedKV{e}, watcher: embeddedWatcher{e}, lease: embeddedLease{e}, embedded: e, close: closeAll}, nil
}

// start starts a server.
func (e *embedded) start(ctx context.Context) error {
	s, err := startServer(ctx, e.cfg, e.dir)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.err = s, nil
	close(e.started)
	return nil
}

// stop stops the server, if there is one.
func (e *embedded) stop() {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s == nil {
		return
	}
	if err := s.stop(); err != nil {
		e.log.Warn("the embedded etcd server does not stop well", "directory", e.dir, "error", err)
	}
}

// lose notes that there is no server, and why.
func (e *embedded) lose(err error) *UnavailableError {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.server != nil {
		e.server, e.started = nil, make(chan struct{})
	}
	e.err = unavailable(err)
	return e.err
}

// unavailable returns the error that writers get because of a failure of the store.
func unavailable(err error) *UnavailableError {
	reason := "the embedded store has failed and is started again"
	if errors.As(err, new(*NoRoomError)) || errors.Is(err, syscall.ENOSPC) {
		reason = "the disk of the embedded store is full"
	}
	return &UnavailableError{Reason: reason, Err: err}
}

// now returns the server. While there is none it returns why, and a channel that is closed when there is one again.
func (e *embedded) now() (*server, *UnavailableError, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.server, e.err, e.started
}

// available returns why changes cannot be stored, or nil.
func (e *embedded) available() *UnavailableError {
	if _, err, _ := e.now(); err != nil {
		return err
	}
	if err := e.room.check(); err != nil {
		return unavailable(err)
	}
	return nil
}

// run keeps the server running until the context ends. It tells condition at once when there is none.
func (e *embedded) run(ctx context.Context, condition *condition) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		s, _, _ := e.now()
		select {
		case <-s.lost:
			e.restart(ctx, s, condition)
		case <-ticker.C:
			if err := e.room.reserve(); err != nil {
				condition.set(unavailable(err))
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// restart stops a server that has failed, and starts another as soon as that is possible.
func (e *embedded) restart(ctx context.Context, failed *server, condition *condition) {
	condition.set(e.lose(fmt.Errorf("the embedded etcd server has failed: %w", failed.err)))
	if err := failed.stop(); err != nil {
		e.failures++
		e.log.Warn("the failed embedded etcd server does not end; its memory is lost", "error", err)
	}
	for wait := firstPause; e.failures < maxFailures; {
		if sleep(ctx, wait) != nil {
			return
		}
		err := checkRoom(e.dir, reserveBytes)
		if err == nil {
			starting, cancel := context.WithTimeout(ctx, restartLimit)
			err = e.start(starting)
			cancel()
			if err == nil {
				e.log.Info("the embedded etcd server runs again")
				return
			}
			e.failures++
		}
		if ctx.Err() != nil {
			return
		}
		condition.set(e.lose(err))
		wait = min(firstPause<<e.failures, lastPause)
	}
	condition.set(e.lose(fmt.Errorf("the embedded store is given up after %d failures; restart this process, which drains it: %w", e.failures, failed.err)))
	<-ctx.Done()
}

// restartLimit is how long a server may take to start again: it reads all that is stored.
const restartLimit = time.Minute

// maxFailures bounds what failed servers leave behind in this process.
const maxFailures = 20

// setSegmentSize has etcd use smaller files for its log. It sets a variable of etcd, which must not change while a server
// runs.
var setSegmentSize = sync.OnceFunc(func() { wal.SegmentSizeBytes = segmentBytes })

// embeddedConfig is the configuration of a cluster of one.
func embeddedConfig(cfg Config, dir string, lost func(error)) *embed.Config {
	setSegmentSize()
	nowhere := url.URL{Scheme: "unix", Host: "trellis"} // etcd requires an address for its peers, though there are none.
	c := embed.NewConfig()
	c.Name = "trellis"
	c.Dir = dir
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = []url.URL{nowhere}, []url.URL{nowhere}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// A single member is its own leader after an election timeout, which nothing but the start waits for.
	c.TickMs, c.ElectionMs = 20, 100
	c.UnsafeNoFsync = cfg.Ephemeral
	// Bound the log's files, all of which are open, and its entries in memory, which may have 1 MB each.
	c.SnapshotCount, c.SnapshotCatchUpEntries = 500, 100
	c.MaxTxnOps = max(uint(cfg.MaxOperations), defaultMaxOperations)
	c.QuotaBackendBytes = 8 << 30
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, "10m"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(serverLogger(cfg.Log, lost))
	return c
}
