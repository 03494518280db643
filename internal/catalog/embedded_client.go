package catalog

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// embeddedKV calls the embedded server, and fails while there is none.
type embeddedKV struct{ embedded *embedded }

var _ clientv3.KV = embeddedKV{}

// Do carries an operation out; the other methods only convert parameters and results.
func (kv embeddedKV) Do(ctx context.Context, op clientv3.Op) (clientv3.OpResponse, error) {
	s, err, _ := kv.embedded.now()
	if s == nil {
		return clientv3.OpResponse{}, err.Err
	}
	return callServer(ctx, s, func(ctx context.Context, c *clientv3.Client) (clientv3.OpResponse, error) { return c.Do(ctx, op) })
}

func (kv embeddedKV) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	r, err := kv.Do(ctx, clientv3.OpGet(key, opts...))
	return r.Get(), err
}

func (kv embeddedKV) GetStream(ctx context.Context, key string, opts ...clientv3.OpOption) (clientv3.GetStreamChan, error) {
	s, err, _ := kv.embedded.now()
	if s == nil {
		return nil, err.Err
	}
	return callServer(ctx, s, func(context.Context, *clientv3.Client) (clientv3.GetStreamChan, error) {
		return s.client.GetStream(ctx, key, opts...)
	})
}

func (kv embeddedKV) Put(ctx context.Context, key, value string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	r, err := kv.Do(ctx, clientv3.OpPut(key, value, opts...))
	return r.Put(), err
}

func (kv embeddedKV) Delete(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.DeleteResponse, error) {
	r, err := kv.Do(ctx, clientv3.OpDelete(key, opts...))
	return r.Del(), err
}

func (kv embeddedKV) Compact(ctx context.Context, revision int64, opts ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	s, err, _ := kv.embedded.now()
	if s == nil {
		return nil, err.Err
	}
	return callServer(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.CompactResponse, error) {
		return c.Compact(ctx, revision, opts...)
	})
}

func (kv embeddedKV) Txn(ctx context.Context) clientv3.Txn { return &embeddedTxn{ctx: ctx, kv: kv} }

type embeddedTxn struct {
	ctx             context.Context
	kv              embeddedKV
	conditions      []clientv3.Cmp
	then, otherwise []clientv3.Op
}

func (t *embeddedTxn) If(conditions ...clientv3.Cmp) clientv3.Txn {
	t.conditions = append(t.conditions, conditions...)
	return t
}

func (t *embeddedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.then = append(t.then, ops...)
	return t
}

func (t *embeddedTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	t.otherwise = append(t.otherwise, ops...)
	return t
}

func (t *embeddedTxn) Commit() (*clientv3.TxnResponse, error) {
	r, err := t.kv.Do(t.ctx, clientv3.OpTxn(t.conditions, t.then, t.otherwise))
	return r.Txn(), err
}

// embeddedLease grants leases of the embedded server.
type embeddedLease struct{ embedded *embedded }

func (l embeddedLease) Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error) {
	s, err, _ := l.embedded.now()
	if s == nil {
		return nil, err.Err
	}
	return callServer(ctx, s, func(ctx context.Context, c *clientv3.Client) (*clientv3.LeaseGrantResponse, error) {
		return c.Grant(ctx, ttl)
	})
}

// embeddedWatcher watches the embedded server. A watch ends with the server; while there is none, Watch waits for one.
type embeddedWatcher struct{ embedded *embedded }

func (w embeddedWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	for {
		s, _, started := w.embedded.now()
		if s != nil {
			return s.watch(ctx, key, opts...)
		}
		select {
		case <-started:
		case <-ctx.Done():
			closed := make(chan clientv3.WatchResponse)
			close(closed)
			return closed
		}
	}
}

// watch begins a watch that ends with the server.
func (s *server) watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	ctx, cancel := context.WithCancel(ctx)
	s.calls.Go(func() {
		defer cancel()
		select {
		case <-s.lost:
		case <-ctx.Done():
		}
	})
	return s.client.Watch(ctx, key, opts...)
}
