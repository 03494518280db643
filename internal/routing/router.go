// Package routing turns records into compiled routes: port and host to service, request to rule, rule to target group,
// target group to target. It keeps a small model of the records that it has been given, recompiles what a change affects,
// and swaps pointers; the data path reads these without locks and without allocating.
//
// It does not read the catalog, does not probe (it asks Health who is available) and does no I/O: what the data plane keeps
// per target, such as its connections, is in the Connector. The server calls Apply for every revision, health calls
// HealthChanged, and the proxy calls Lookup, Route, Choose and Next for every request.
//
// Invariant: a Service is immutable; TargetGroup and Target outlive every recompilation, so that a change of configuration
// closes no connection and resets no turn.
package routing

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Config has what a Router needs from other parts.
type Config struct {
	// Health knows which targets are available. Nil means that all are.
	Health Health
	// Connect returns what the data plane keeps for a target. It is called once per target, when the target first
	// belongs to a target group in use, with the router's lock held: it must not block. Nil means nothing is kept.
	Connect func(t *Target) Connector
	// Resolve finds the place of a target. The error says why no request can be routed to the target. Nil is ResolveLiteral.
	// It is asked again for targets whose ids are not addresses whenever their group changes.
	Resolve func(group *lattice.TargetGroup, target *lattice.Target) (Place, error)
	// Inventory returns the VPCs and security groups that decide which clients reach which services. If it is nil, or returns
	// nil, there are none.
	Inventory func() *inventory.Snapshot
	// ResourceRange is the range of resources' addresses. The zero value has none.
	ResourceRange lattice.ResourceRange
	// Domain is the parent of generated names, such as "localhost".
	Domain string
	// Log gets problems with records. Nil means slog.Default.
	Log *slog.Logger
}

// Health knows which targets pass their health checks.
type Health interface {
	// Available reports whether a target may get requests while others of its target group may too. It is called with the
	// router's lock held: it MUST NOT call the router, nor wait for a caller of HealthChanged.
	Available(target lattice.Key) bool
}

// Connector is what the data plane keeps for a target.
type Connector interface {
	// Close is called once, when the target's record is gone and the target cannot be picked any more. An exchange
	// that picked it earlier may still use it during and after Close.
	Close()
}

// Use is what health must know about a target group. InUse means that a rule of a listener of a reachable service refers to
// it, with whatever weight. Group is nil when the target group is gone.
type Use struct {
	Key     lattice.Key
	Group   *lattice.TargetGroup
	Targets []*lattice.Target
	InUse   bool
}

// Router holds the compiled routes. Its methods may be called at any time from any goroutine.
type Router struct {
	cfg Config

	origins origins

	mu    sync.Mutex // mu guards the fields below; the data path never takes it.
	model model
	ports map[int]*Port
}

// NewRouter returns a router without routes.
func NewRouter(cfg Config) *Router {
	if cfg.Resolve == nil {
		cfg.Resolve = ResolveLiteral
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	r := &Router{cfg: cfg, model: newModel(), ports: map[int]*Port{}}
	r.settleOrigins()
	return r
}

// Apply applies changes: when it returns, new requests follow them. It returns the target groups whose use, configuration
// or targets changed, as far as they are or were in use.
//
// The order keeps every request answerable throughout: target groups are prepared before a service is swapped that forwards
// to them, names are published after their services, and what is gone is closed last.
func (r *Router) Apply(changes []lattice.Change) []Use {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, change := range changes {
		r.model.take(change)
	}
	r.model.names.settle(r.model.touchService)
	r.settleNetworks()
	r.settleEntrances()
	r.settleResources()
	r.settleServices()
	uses := r.settleTargetGroups()
	r.settleListeners()
	r.settlePorts()
	r.retire()
	r.model.sweep()
	return uses
}

// HealthChanged computes again which targets of a group are available.
func (r *Router) HealthChanged(targetGroup lattice.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.model.groups[ref{targetGroup.Scope, targetGroup.Path}]; g != nil && g.compiled != nil {
		r.pick(g)
	}
	r.retire()
	r.model.sweep()
}

// InventoryChanged resolves the targets again whose ids are not addresses, and finds out again which clients reach what:
// Resolve and Inventory may return something else now.
func (r *Router) InventoryChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ref := range r.model.networks {
		r.model.network(ref, false)
	}
	r.settleEntrances()
	r.settleOrigins()
	r.model.resources.touchAll()
	r.settleResources()
	for _, g := range r.model.groups {
		if g.compiled != nil && g.record != nil && g.record.Type != shape.TargetGroupTypeIp {
			r.pick(g)
		}
	}
	r.retire()
	r.model.sweep()
}

// Ports returns the ports on which at least one service can be reached, by number. A port stays the same object as
// long as it is among them.
func (r *Router) Ports() []*Port {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sortedPorts()
}

func (r *Router) sortedPorts() []*Port {
	return slices.SortedFunc(maps.Values(r.ports), func(a, b *Port) int { return cmp.Compare(a.Number, b.Number) })
}

// settlePorts publishes names, withdraws those that are gone, and drops the ports that have none left.
func (r *Router) settlePorts() {
	for number, p := range r.ports {
		p.entries.publish()
		if p.names == 0 {
			delete(r.ports, number)
		}
	}
}

// retire closes the connectors of targets that are gone. An exchange that still holds their target group finds no target in
// it.
func (r *Router) retire() {
	for _, g := range r.model.goneGroups {
		g.picker.Store(nil)
	}
	for _, t := range r.model.goneTargets {
		if t.Connector != nil {
			t.Connector.Close()
		}
	}
}
