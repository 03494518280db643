package catalog

import (
	"context"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// testStore starts an embedded server that the catalogs of a test share.
func testStore(t testing.TB) *store {
	t.Helper()
	s, err := openEmbedded(t.Context(), Config{Ephemeral: true, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// raw returns a client of a store's embedded server.
func raw(s *store) *clientv3.Client {
	server, _, _ := s.embedded.now()
	return server.client
}

// shared returns a store that can be changed and closed without effect on s.
func (s *store) shared() *store {
	return &store{kv: s.kv, watcher: s.watcher, lease: s.lease, close: func() {}}
}

// startOn opens a catalog on a store, and the test closes it.
func startOn(t testing.TB, s *store, cfg Config) *Catalog {
	t.Helper()
	cfg.Log, cfg.Ephemeral = testLog(t), true
	cfg, err := cfg.complete()
	if err != nil {
		t.Fatal(err)
	}
	c, err := open(t.Context(), cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// faultyKV fails transactions as its fault says.
type faultyKV struct {
	clientv3.KV
	// fault says what becomes of a transaction, which it may commit.
	fault func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error)
}

func (kv *faultyKV) Txn(ctx context.Context) clientv3.Txn {
	// Not ctx: what is in flight goes on when its sender has given up.
	return &faultyTxn{kv.KV.Txn(context.WithoutCancel(ctx)), kv}
}

type faultyTxn struct {
	clientv3.Txn
	kv *faultyKV
}

func (txn *faultyTxn) If(cs ...clientv3.Cmp) clientv3.Txn     { txn.Txn.If(cs...); return txn }
func (txn *faultyTxn) Then(ops ...clientv3.Op) clientv3.Txn   { txn.Txn.Then(ops...); return txn }
func (txn *faultyTxn) Else(ops ...clientv3.Op) clientv3.Txn   { txn.Txn.Else(ops...); return txn }
func (txn *faultyTxn) Commit() (*clientv3.TxnResponse, error) { return txn.kv.fault(txn.Txn.Commit) }

// faultyWatcher delivers nothing while it is cut.
type faultyWatcher struct {
	watcher

	mu     sync.Mutex // mu guards the fields below.
	cuts   []context.CancelFunc
	mended chan struct{} // closed when it works
	mute   bool          // watches begin, and deliver nothing
}

func newFaultyWatcher(w watcher) *faultyWatcher {
	mended := make(chan struct{})
	close(mended)
	return &faultyWatcher{watcher: w, mended: mended}
}

func (w *faultyWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	w.mu.Lock()
	mended := w.mended
	ctx, cancel := context.WithCancel(ctx)
	w.cuts = append(w.cuts, cancel)
	mute := w.mute
	w.mute = false
	w.mu.Unlock()
	if mute {
		return make(chan clientv3.WatchResponse)
	}
	select {
	case <-mended:
		return w.watcher.Watch(ctx, key, opts...)
	case <-ctx.Done():
		closed := make(chan clientv3.WatchResponse)
		close(closed)
		return closed
	}
}

// cut ends all watches, and has new ones wait until mend.
func (w *faultyWatcher) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cancel := range w.cuts {
		cancel()
	}
	w.cuts = nil
	w.mended = make(chan struct{})
}

func (w *faultyWatcher) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.mended)
}
