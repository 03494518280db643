package catalog

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// watcher begins watches.
type watcher interface {
	Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan
}

// watch feeds the replica with everything that is written to etcd, whoever writes it.
type watch struct {
	kv      clientv3.KV
	watcher watcher
	replica *replica
	stored  <-chan stored // the batches that this node has stored
	silent  chan struct{} // holds one; signals that the watch has not delivered what it should have
	fail    func(error)
	log     *slog.Logger
}

// watchTimeout is how long a watch may be late.
const watchTimeout = 3 * time.Second

// run follows etcd until the context ends. A watch that breaks is begun again after the replica's revision; if
// etcd has compacted what followed that, all is listed again.
func (w *watch) run(ctx context.Context) {
	var retry retry
	for {
		before := w.replica.seen.now()
		err := w.follow(ctx)
		if ctx.Err() == nil && errors.Is(err, rpctypes.ErrCompacted) {
			w.log.Warn("the watch on etcd fell behind compaction; listing all records", "revision", w.replica.seen.now())
			err = w.replica.relist(ctx, w.kv)
		}
		if ctx.Err() != nil {
			return
		}
		if w.replica.seen.now() > before {
			retry.reset()
		}
		if wentBack, ok := errors.AsType[*wentBackError](err); ok {
			w.fail(wentBack)
			return
		}
		if err != nil {
			w.log.Warn("the watch on etcd broke", "error", err, "revision", w.replica.seen.now())
			if retry.pause(ctx) != nil {
				return
			}
		}
	}
}

// follow applies what one watch delivers, and returns why it ended.
func (w *watch) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	responses := w.watcher.Watch(ctx, prefix,
		clientv3.WithPrefix(),
		clientv3.WithRev(w.replica.seen.now()+1),
		clientv3.WithFragment(),       // A revision may delete more than fits into one message; the client joins them.
		clientv3.WithProgressNotify(), // so that an idle watch does not fall behind compaction
	)
	for {
		select {
		case resp, ok := <-responses:
			switch {
			case !ok:
				return errors.New("the watch was closed")
			case resp.Err() != nil:
				return resp.Err()
			case resp.IsProgressNotify():
				w.replica.reach(resp.Header.Revision)
			default:
				w.replica.take(resp.Events)
			}
		case s := <-w.stored:
			w.replica.takeStored(s)
			s.batch.answer(s.revision, nil)
		case <-w.silent:
			return errors.New("the watch was silent")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
