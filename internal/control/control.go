// Package control holds what the operations of the API do, one file per resource. It implements api.Operations
// over the catalog: each operation is one function that reads and writes records inside one transaction, and
// turns them into the API's shapes. What the model states about the input (required members, bounds, patterns,
// enums, unions) has been checked before an operation is called; what it does not say is checked here.
//
// It knows nothing of HTTP nor of etcd, and it does not import the data plane: the state of targets comes to it
// through the TargetHealth interface.
package control

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Config is what a Control needs.
type Config struct {
	Catalog *catalog.Catalog
	// Health tells the status of targets.
	Health TargetHealth
	// Addresses decides which addresses targets and resources may have.
	Addresses lattice.AddressPolicy
	// Domain is the parent of generated service names, such as "localhost".
	Domain string
	// LifecycleDelay is how long a resource stays CREATE_IN_PROGRESS, UPDATE_IN_PROGRESS or DELETE_IN_PROGRESS.
	// Zero means that the response to the creation says CREATE_IN_PROGRESS and every later response ACTIVE; those to the
	// creation of a resource gateway and a resource configuration say ACTIVE, as AWS's do.
	LifecycleDelay time.Duration
	// DeregistrationDelay is how long a deregistered target is shown as DRAINING. At AWS it is one minute (API TargetSummary).
	DeregistrationDelay time.Duration
	// Quotas are the limits that differ from AWS's defaults. They must be valid.
	Quotas lattice.Quotas
	// FailCreation returns why a resource that is being created cannot be, or empty strings. Nil means that none fails.
	FailCreation func(kind lattice.Kind) (code, message string)
	// Inventory tells what other services of AWS would know. Nil means nothing.
	Inventory Inventory
	// ResourceAddresses is the number of addresses at which clients can reach resources. 0 means that resources get none.
	ResourceAddresses uint32
	// Resolver looks for the TXT records that verify domains. The default is net.DefaultResolver.
	Resolver Resolver
	// Now tells the time. The default is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// TargetHealth tells the status of targets, as the health checks of this node see it.
type TargetHealth interface {
	Status(target *lattice.Target) (status shape.TargetStatus, reasonCode string)
}

// Control implements the operations of the API.
type Control struct {
	Config
	// due is signalled when a deletion or a drain has begun, which Run must end.
	due      chan struct{}
	verifier verifier
	quotas   lattice.QuotaTable
	// entered is signalled when the inventory has changed, perhaps with new VPC endpoints.
	entered chan struct{}
	// lastAddress is the number of the last address that was given.
	lastAddress atomic.Uint32
}

var _ api.Operations = (*Control)(nil)

// New returns the operations over a catalog. Run must be running for deletions and drains to end, and for domains to be
// verified.
func New(cfg Config) *Control {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.FailCreation == nil {
		cfg.FailCreation = func(lattice.Kind) (string, string) { return "", "" }
	}
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	return &Control{Config: cfg, due: make(chan struct{}, 1), entered: make(chan struct{}, 1), verifier: newVerifier(), quotas: cfg.Quotas.InForce()}
}

// read runs an operation that changes nothing over a consistent view of the catalog.
func read[Out any](c *Control, fn func(v catalog.View) (*Out, error)) (out *Out, err error) {
	c.Catalog.Read(func(v catalog.View) { out, err = fn(v) })
	return out, err
}

// change runs an operation that updates or deletes something. Like every function given to a transaction, fn may run more than
// once; the last response counts.
func change[Out any](ctx context.Context, c *Control, fn func(tx *catalog.Tx) (*Out, error)) (*Out, error) {
	var out *Out
	err := c.commit(ctx, func(tx *catalog.Tx) (err error) {
		out, err = fn(tx)
		return err
	})
	return out, err
}

// read runs fn over a consistent view of the catalog.
func (c *Control) read(fn func(v catalog.View) error) error {
	var err error
	c.Catalog.Read(func(v catalog.View) { err = fn(v) })
	return err
}

// commit runs fn in a transaction.
func (c *Control) commit(ctx context.Context, fn func(tx *catalog.Tx) error) error {
	if err := c.Catalog.Commit(ctx, fn); err != nil {
		return commitError(err)
	}
	// Only with a delay can fn have begun something that Run must end.
	if c.LifecycleDelay > 0 {
		c.signalDue()
	}
	return nil
}
