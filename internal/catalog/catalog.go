// Package catalog keeps the records in etcd and an indexed copy of all of them, the replica, in memory.
//
// Reads are answered by the replica. Writes are mutations: functions that read through a transaction, change it,
// and are joined with others into one etcd transaction. Every such transaction compares and bumps one head key, so
// all mutations of all nodes on one etcd are serialisable. What this node has stored, and what the watch brings of
// others, goes to the replica, to the Apply function (the data plane) and then to the waiting writers, in this order, so that
// a client that has a response finds its effect everywhere on this node. The package knows nothing of operations or HTTP;
// control is its only caller besides the wiring.
//
// Invariant: the replica holds exactly the decodable records of one etcd revision, and Apply has had or is being
// given exactly the changes up to it.
package catalog

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"trellis/internal/lattice"
)

// defaultMaxOperations is etcd's default limit of operations in one transaction.
const defaultMaxOperations = 128

// defaultMaxBytes keeps a transaction below etcd's default limit of 1.5 MiB for a request.
const defaultMaxBytes = 1 << 20

// Config says where the records are and who follows their changes.
type Config struct {
	// DataDir is the directory of the embedded etcd server. Only one process at a time can use it.
	DataDir string
	// Ephemeral embeds a server that does not wait for the disk. With an empty DataDir it works in a temporary
	// directory that Close removes.
	Ephemeral bool
	// Endpoints are the URLs of an etcd cluster, which is then used instead of an embedded server.
	Endpoints []string
	// TLS is used towards endpoints whose scheme is https.
	TLS *tls.Config
	// User and Password are for an etcd that has users. They may be empty.
	User, Password string
	// Prefix is put before all keys in a cluster. Catalogs of different prefixes know nothing of each other.
	Prefix string
	// Apply is called with the changes of each revision, in order, from one goroutine, and before the writers are
	// answered. The first call, from within Open, has every record as new. May be nil.
	Apply func([]lattice.Change)
	// MaxOperations is the limit of operations in one etcd transaction (etcd's --max-txn-ops), two of which the
	// catalog itself needs. Zero means defaultMaxOperations.
	MaxOperations int
	// MaxBytes is the limit of the keys and values in one etcd transaction. Zero means defaultMaxBytes.
	MaxBytes int
	// Log receives the catalog's and the embedded server's messages. Nil means slog.Default.
	Log *slog.Logger
}

// ErrClosed is returned once the catalog has been closed.
var ErrClosed = errors.New("catalog: closed")

// Catalog is a node's access to the records.
type Catalog struct {
	store     *store
	replica   *replica
	condition *condition
	counts    *counts
	calls     chan *call
	log       *slog.Logger

	ctx    context.Context // ends with the catalog; its cause says why
	cancel context.CancelCauseFunc
	owned  sync.WaitGroup // the goroutines: the committer, the watch, the watchdog, the embedded server's
	closed sync.Once
	done   chan struct{}
}

// Open opens the store, loads the replica and hands all of it to Apply. The context bounds the opening only.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	var s *store
	if len(cfg.Endpoints) > 0 {
		s, err = dial(ctx, cfg)
	} else {
		s, err = openEmbedded(ctx, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c, err := open(ctx, cfg, s)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return c, nil
}

// complete sets the defaults.
func (cfg Config) complete() (Config, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.MaxOperations == 0 {
		cfg.MaxOperations = defaultMaxOperations
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.MaxOperations <= ownOperations {
		return cfg, fmt.Errorf("%d operations in a transaction are too few", cfg.MaxOperations)
	}
	if len(cfg.Endpoints) == 0 && cfg.DataDir == "" && !cfg.Ephemeral {
		return cfg, errors.New("neither a data directory nor etcd endpoints are given")
	}
	return cfg, nil
}

// open runs a catalog on a store, with a complete configuration. The catalog owns the store only if open succeeds.
func open(ctx context.Context, cfg Config, s *store) (*Catalog, error) {
	r := newReplica(cfg.Apply, cfg.Log)
	if err := r.relist(ctx, s.kv); err != nil {
		return nil, fmt.Errorf("load the records: %w", err)
	}
	c := &Catalog{
		store:     s,
		replica:   r,
		condition: newCondition(cfg.Log),
		counts:    &counts{},
		calls:     make(chan *call, cfg.MaxOperations),
		log:       cfg.Log,
		done:      make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	handover := make(chan stored, 1)
	committer := &committer{
		kv:      s.kv,
		replica: r,
		calls:   c.calls,
		stored:  handover,
		limits:  limits{operations: cfg.MaxOperations - ownOperations, bytes: cfg.MaxBytes},
		leases:  leases{lease: s.lease},
		counts:  c.counts,
		node:    rand.Text(),
		fail:    c.fail,
		log:     cfg.Log,
	}
	watch := &watch{kv: s.kv, watcher: s.watcher, replica: r, stored: handover, silent: make(chan struct{}, 1), fail: c.fail, log: cfg.Log}
	watchdog := &watchdog{kv: s.kv, replica: r, embedded: s.embedded, failure: s.failure, condition: c.condition, storing: &committer.storing, silent: watch.silent, counts: c.counts}
	c.owned.Go(func() { committer.run(c.ctx) })
	c.owned.Go(func() { watch.run(c.ctx) })
	c.owned.Go(func() { watchdog.run(c.ctx) })
	if s.embedded != nil {
		committer.room = s.embedded.room.check
		c.owned.Go(func() { s.embedded.run(c.ctx, c.condition) })
	}
	return c, nil
}

// fail ends the catalog for a reason that it cannot repair.
func (c *Catalog) fail(err error) {
	if c.ctx.Err() == nil {
		c.log.Error("the catalog has failed", "error", err)
	}
	c.cancel(fmt.Errorf("catalog: %w", err))
}

// Close stops the catalog and waits for all that it runs. Mutations under way get ErrClosed.
func (c *Catalog) Close() error {
	c.cancel(ErrClosed)
	c.closed.Do(func() {
		c.owned.Wait()
		c.store.close()
		close(c.done)
	})
	<-c.done
	return nil
}

// Done is closed when the catalog takes no more mutations: it has been closed, or it has failed.
func (c *Catalog) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why Done is closed: ErrClosed, or what failed. It is nil before.
func (c *Catalog) Err() error { return context.Cause(c.ctx) }

// Revision is the etcd revision that the replica and Apply have reached.
func (c *Catalog) Revision() int64 { return c.replica.applied.now() }

// Writable returns nil if changes can be stored, as far as this node knows, or else the reason. It does not ask etcd, and
// answers at once.
func (c *Catalog) Writable() error {
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.condition.now(); err != nil {
		return err.Err
	}
	return nil
}

// Read calls fn with a consistent view of the replica. The view is valid until fn returns, the records for good. fn must
// not block, and must not call Read or Commit: the replica takes no changes in the meantime.
func (c *Catalog) Read(fn func(v View)) {
	c.replica.mu.RLock()
	defer c.replica.mu.RUnlock()
	fn(c.replica.table)
}
