// Package function runs Lambda functions: each as processes of this node, to which it serves the Lambda Runtime API, or by
// the Invoke API of another Lambda. It starts processes when events need them, reloads them when their files change, and
// ends them when they are idle, late or no longer wanted. Package event makes the events and reads the responses; here both
// are bytes.
//
// Invariant: a process has at most one event at a time, and no event is given to two processes.
package function

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"trellis/internal/inventory"
	"trellis/internal/tally"
	"trellis/internal/uuid"
)

// MaxPayload bounds what a function answers (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const MaxPayload = 6 << 20

// Config is what Functions are built from.
type Config struct {
	// Lookup finds a function in the inventory, by an ARN that may name a version or an alias.
	Lookup func(arn string) (inventory.Function, bool)
	// Elsewhere invokes the functions that have an endpoint and those that Lookup does not find. Nil means that there is
	// none of either.
	Elsewhere *Elsewhere
	// Environment is set for every process, beside this process's own.
	Environment map[string]string
	// Log gets what functions write, line by line, and what happens to them.
	Log *slog.Logger
	// Output is called with each line that a function writes, and the id of its event, if it has one. It must not block. May be nil.
	Output func(function, requestID, line string)
	// SettleTime is how long files must be left alone until a change of them counts: editors and builds make several.
	// Default: 50 milliseconds.
	SettleTime time.Duration
	// IdleTimeout is how long a process may have nothing to do. Default: 5 minutes.
	IdleTimeout time.Duration
	// StartTimeout is the least time until a program must ask for its first event, if its timeout is not longer. Default:
	// 10 seconds, as at AWS (docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
	StartTimeout time.Duration
	// MaxWait is how long an event waits for a process while all are busy. Default: 10 seconds.
	MaxWait time.Duration
	// MaxWaiting is how many events of a function may wait. Default: 1,000.
	MaxWaiting int
}

// Functions are the functions of a node. Their methods may be called from any goroutine.
type Functions struct {
	cfg     Config
	log     *slog.Logger
	starter *starter
	watcher *watcher
	owned   sync.WaitGroup // processes and the sweep
	ending  context.Context
	end     context.CancelFunc // kills all processes
	name    string             // marks everything that this node's processes have started
	calls   tally.Calls        // the statistics of functions without a pool

	mu       sync.Mutex // mu guards the fields below. It is held before that of a pool.
	pools    map[string]*pool
	retiring bool
	closed   bool
}

// New returns Functions without any function declared. They run until Close.
func New(cfg Config) *Functions {
	cfg.SettleTime = cmp.Or(cfg.SettleTime, 50*time.Millisecond)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 5*time.Minute)
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, 10*time.Second)
	cfg.MaxWait = cmp.Or(cfg.MaxWait, 10*time.Second)
	cfg.MaxWaiting = cmp.Or(cfg.MaxWaiting, 1000)
	f := &Functions{cfg: cfg, log: cfg.Log, pools: map[string]*pool{}, name: newToken()}
	f.starter = newStarter(markVariable+"="+f.name+".", cfg.Log)
	f.watcher = newWatcher(cfg.SettleTime, cfg.Log)
	f.ending, f.end = context.WithCancel(context.Background())
	f.owned.Go(f.sweep)
	return f
}

// Declare replaces the functions that this node runs. Those whose entries changed are reloaded; processes of those that
// are gone finish their events.
func (f *Functions) Declare(functions []inventory.Function) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	gone := maps.Clone(f.pools)
	for _, declared := range functions {
		if declared.Command == nil {
			continue
		}
		delete(gone, declared.ARN)
		if p := f.pools[declared.ARN]; p != nil {
			p.declare(declared)
			continue
		}
		p := newPool(f, declared)
		f.pools[declared.ARN] = p
		p.watch()
	}
	for arn, p := range gone {
		delete(f.pools, arn)
		p.close()
	}
}

// Invocation is an event for a function.
type Invocation struct {
	// ARN is the ARN by which the function was invoked: it may name a version or an alias.
	ARN string
	// Event is JSON. The caller must not change it after the call.
	Event []byte
	// RequestID is the id of the event for the function and the log. A new one replaces an id that does not have Lambda's
	// form.
	RequestID string
	// TraceID is a trace header of X-Ray's form, or empty.
	TraceID string
}

// Invoke runs a function once and returns what it answers, which is JSON if the function keeps to its contract. The error
// is one of this package's, or that of ctx. When ctx ends, a process that has the event keeps it.
func (f *Functions) Invoke(ctx context.Context, in Invocation) (response Response, err error) {
	calls := &f.calls
	defer func(began time.Time) { calls.Add(tally.Call{Name: "elsewhere", Code: kindOf(err)}, time.Since(began)) }(time.Now())
	if !isRequestID(in.RequestID) {
		in.RequestID = uuid.New()
	}
	declared, known := f.cfg.Lookup(in.ARN)
	if known && declared.Command != nil {
		f.mu.Lock()
		p := f.pools[declared.ARN]
		f.mu.Unlock()
		if p != nil {
			calls = &p.calls
			return p.invoke(ctx, in)
		}
	}
	if f.cfg.Elsewhere.has(declared, known) {
		return f.cfg.Elsewhere.invoke(ctx, declared, in)
	}
	return Response{}, &UnknownError{in.ARN}
}

// Problem returns why a function cannot be invoked, as far as that is known without invoking it.
func (f *Functions) Problem(arn string) error {
	declared, known := f.cfg.Lookup(arn)
	if known && declared.Command != nil {
		f.mu.Lock()
		p := f.pools[declared.ARN]
		f.mu.Unlock()
		if p != nil {
			return p.problem()
		}
	}
	if f.cfg.Elsewhere.has(declared, known) {
		return nil
	}
	return &UnknownError{arn}
}

// Report returns what is known about a function that this node runs, and whether it runs it.
func (f *Functions) Report(arn string) (Report, bool) {
	declared, known := f.cfg.Lookup(arn)
	if !known {
		return Report{}, false
	}
	f.mu.Lock()
	p := f.pools[declared.ARN]
	f.mu.Unlock()
	if p == nil {
		return Report{}, false
	}
	return p.report(), true
}

// Retire ends idle processes, and from now on each process once no event waits for it.
func (f *Functions) Retire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retiring = true
	for _, p := range f.pools {
		p.retire()
	}
}

// Close kills all processes, whatever they are doing, and waits until they have ended.
func (f *Functions) Close() {
	f.mu.Lock()
	f.closed = true
	for _, p := range f.pools {
		p.close()
	}
	f.mu.Unlock()
	f.end()
	f.owned.Wait()
	f.watcher.close()
	f.starter.close()
}

// sweep ends idle processes.
func (f *Functions) sweep() {
	ticks := time.NewTicker(max(f.cfg.IdleTimeout/20, 10*time.Millisecond))
	defer ticks.Stop()
	for {
		select {
		case <-f.ending.Done():
			return
		case now := <-ticks.C:
			f.mu.Lock()
			pools := slices.Collect(maps.Values(f.pools))
			f.mu.Unlock()
			for _, p := range pools {
				p.endIdle(now.Add(-f.cfg.IdleTimeout))
			}
		}
	}
}
