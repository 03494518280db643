package catalog

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// The limits of an etcd that does not answer. A cluster that has lost its leader has another within these.
const (
	lookInterval = time.Second
	// askLimit is how long etcd may take to answer one read.
	askLimit = 2 * time.Second
	// askTimeout is how long etcd may answer no read before writers are told.
	askTimeout = 5 * time.Second
	// storeTimeout is how long a transaction may be under way before writers are told.
	storeTimeout = 10 * time.Second
)

// watchdog finds out whether changes can be stored, so that nobody waits for a store that is gone.
type watchdog struct {
	kv        clientv3.KV
	replica   *replica
	embedded  *embedded    // nil for a cluster
	failure   *lastFailure // of the client of a cluster; nil for an embedded server
	condition *condition
	storing   *stopwatch      // the transaction under way
	silent    chan<- struct{} // to the watch
	counts    *counts
	answered  time.Time // when etcd last did
}

// run looks every now and then until the context ends.
func (w *watchdog) run(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	w.answered = time.Now()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		w.condition.set(w.look(ctx))
	}
}

// look returns why changes cannot be stored; nil means that they can.
func (w *watchdog) look(ctx context.Context) *UnavailableError {
	if w.embedded != nil {
		if err := w.embedded.available(); err != nil {
			w.answered = time.Now() // the time of the transaction begins again when the store is back
			return err
		}
	}
	if took := w.storing.running(); took > storeTimeout {
		return &UnavailableError{
			Reason: "etcd does not store changes",
			Err:    fmt.Errorf("etcd has been storing a change for %s", took.Round(time.Second)),
		}
	}
	err := w.ask(ctx)
	if err == nil {
		w.answered = time.Now()
		return nil
	}
	if w.failure != nil {
		err = w.failure.explain(err, w.answered)
	}
	if silence := time.Since(w.answered); silence > askTimeout && ctx.Err() == nil {
		return &UnavailableError{
			Reason: "etcd does not answer",
			Err:    fmt.Errorf("etcd has not answered for %s: %w", silence.Round(time.Second), err),
		}
	}
	return w.condition.now()
}

// ask has etcd read the head, with a quorum. A member of a cluster that hangs can keep the watch's connection alive and
// deliver nothing, so ask also checks that the watch has delivered what etcd has; another watch may reach another member.
func (w *watchdog) ask(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	resp, err := w.kv.Get(asking, headKey, clientv3.WithKeysOnly())
	if err != nil || len(resp.Kvs) == 0 {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	w.counts.learn(resp.Kvs[0].ModRevision)
	asked := time.Now()
	err = w.replica.seen.wait(resp.Kvs[0].ModRevision, waiting, ctx)
	w.counts.lag.Store(int64(time.Since(asked)))
	if err != nil {
		select {
		case w.silent <- struct{}{}:
		default:
		}
	}
	return nil
}

// stopwatch measures how long something has been under way.
type stopwatch struct{ since atomic.Pointer[time.Time] }

func (s *stopwatch) start() {
	now := time.Now()
	s.since.Store(&now)
}

// stop returns how long it has been.
func (s *stopwatch) stop() time.Duration { return time.Since(*s.since.Swap(nil)) }

// running returns how long it has been under way, 0 if it is not.
func (s *stopwatch) running() time.Duration {
	if since := s.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}
