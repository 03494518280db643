package catalog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// server is an etcd server within this process. etcd ends its process, or panics, when it cannot write a file or reads
// one that is damaged. Most of that goes through its logger, which ends the goroutine instead; the rest is caught where
// the goroutine is ours: at the start, and in calls. A panic in one of etcd's own goroutines that does not go through
// the logger, such as one of bbolt's when the database has been damaged while it was open, still ends the process.
type server struct {
	dir    string
	log    *slog.Logger
	etcd   *embed.Etcd
	client *clientv3.Client

	once sync.Once
	lost chan struct{} // closed when the server has failed
	err  error         // why; it may be read once lost is closed

	calls sync.WaitGroup
}

// How long a server may take to stop, and one that has failed: usually some part of it waits for one that has ended.
const (
	stopTimeout   = 10 * time.Second
	failedTimeout = 3 * time.Second
)

// startServer starts a server, and waits until it answers.
func startServer(ctx context.Context, cfg Config, dir string) (*server, error) {
	s := &server{dir: dir, log: cfg.Log, lost: make(chan struct{})}
	config := embeddedConfig(cfg, dir, s.lose)
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started, left := make(chan result), make(chan struct{})
	defer close(left)
	go func() {
		r := result{err: errors.New("etcd has given up")} // The logger ends the goroutine.
		defer func() {
			select {
			case started <- r:
			case <-left: // It took too long.
				if r.etcd != nil {
					r.etcd.Close()
				}
			}
		}()
		defer recoverTo(&r.err)
		debug.SetPanicOnFault(true) // A mapped file is shorter than it should be.
		r.etcd, r.err = embed.StartEtcd(config)
	}()
	err := func() error {
		select {
		case r := <-started:
			if r.err != nil {
				return s.why(r.err)
			}
			s.etcd = r.etcd
		case <-s.lost: // A goroutine that StartEtcd waits for has ended.
			return s.err
		case <-ctx.Done():
			return fmt.Errorf("the embedded etcd server does not start: %w", context.Cause(ctx))
		}
		select {
		case <-s.etcd.Server.ReadyNotify():
			return nil
		case <-s.lost:
			return s.err
		case <-s.etcd.Server.StopNotify():
			return s.why(errors.New("the embedded etcd server stopped while it started"))
		case <-ctx.Done():
			return fmt.Errorf("the embedded etcd server is not ready: %w", context.Cause(ctx))
		}
	}()
	if err != nil {
		err = errors.Join(err, s.stop())
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &StoreError{Dir: dir, Err: err}
	}
	s.client = v3client.New(s.etcd.Server)
	s.calls.Go(func() {
		select {
		case <-s.etcd.Server.StopNotify():
			s.lose(errors.New("it has stopped"))
		case <-s.lost:
		}
	})
	return s, nil
}

// lose notes that the server has failed.
func (s *server) lose(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.lost)
	})
}

// why returns why the server has failed if it has said so, else err.
func (s *server) why(err error) error {
	select {
	case <-s.lost:
		return s.err
	default:
		return err
	}
}

// stop stops the server. One that has failed, or does not stop, loses its files, so that another one can have them. The
// error says that a part of it will never end.
func (s *server) stop() error {
	failed, limit := s.etcd == nil, stopTimeout
	select {
	case <-s.lost:
		failed, limit = true, failedTimeout
	default:
		s.lose(errors.New("it is being stopped"))
	}
	stopped := make(chan error, 1)
	go func() {
		err := errors.New("etcd has given up") // The logger ends the goroutine.
		defer func() { stopped <- err }()
		defer recoverTo(&err)
		if s.etcd != nil {
			s.etcd.Close()
		}
		if s.client != nil {
			s.client.Close()
		}
		s.calls.Wait()
		err = nil
	}()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	var err error
	select {
	case err = <-stopped:
	case <-timeout.C:
		err = fmt.Errorf("it has not stopped within %s", limit)
	}
	if failed || err != nil {
		cutOff(s.dir)
	}
	return err
}

// callServer calls the server on a goroutine of its own, since etcd does much of the work of a call, such as reading the
// database, on that of the caller.
func callServer[T any](ctx context.Context, s *server, call func(context.Context, *clientv3.Client) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		value T
		err   error
	}
	answer := make(chan result, 1)
	s.calls.Go(func() {
		r := result{err: errors.New("etcd has given the call up")} // The logger ends the goroutine.
		var panicked error
		defer func() {
			if panicked != nil {
				s.lose(panicked)
				r.err = panicked
			}
			answer <- r
		}()
		defer recoverTo(&panicked)
		debug.SetPanicOnFault(true) // A mapped file is shorter than it should be.
		r.value, r.err = call(ctx, s.client)
	})
	select {
	case r := <-answer:
		return r.value, r.err
	case <-s.lost:
		var none T
		return none, fmt.Errorf("the embedded etcd server has failed: %w", s.err)
	}
}

// recoverTo turns a panic into an error. It must be deferred.
func recoverTo(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("etcd panicked: %v", cause)
	}
}
