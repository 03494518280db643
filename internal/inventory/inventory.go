// Package inventory knows what at AWS other services know: the address ranges of VPCs, the addresses of instances
// and load balancers, the endpoints of functions, certificates, and VPC endpoints. All of it stands in one YAML file
// (docs/inventory.md), which is read again when it changes. The control plane and the data plane look things up in
// snapshots; neither can change anything here.
//
// Invariant: a Snapshot never changes, and it holds only what has been checked as a whole. A file with a mistake
// leaves the snapshot before it in force.
package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often the file is looked at.
const pollInterval = time.Second

// Inventory is a file and what stands in it.
type Inventory struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[Snapshot]

	mu sync.Mutex
	// mu guards the fields below.
	onChange []func(*Snapshot)

	reload chan chan error
	stop   context.CancelFunc
	owned  sync.WaitGroup // the watch
}

// Open reads an inventory file and watches it until Close. The error names everything that is wrong with it.
func Open(path string, log *slog.Logger) (*Inventory, error) {
	i := &Inventory{path: path, log: log, reload: make(chan chan error)}
	seen := reading{}
	snapshot, err := i.read(seen)
	if err != nil {
		return nil, err
	}
	i.current.Store(snapshot)
	ctx, stop := context.WithCancel(context.Background())
	i.stop = stop
	i.owned.Go(func() { i.watch(ctx, seen) })
	return i, nil
}

// Current returns what stands in the file. A nil inventory has a nil snapshot, in which nothing is found.
func (i *Inventory) Current() *Snapshot {
	if i == nil {
		return nil
	}
	return i.current.Load()
}

// OnChange registers a function that is called after each change of the current snapshot, with the new one, from the
// goroutine that watches the file.
func (i *Inventory) OnChange(fn func(*Snapshot)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.onChange = append(i.onChange, fn)
}

// Close ends watching and waits until it has ended.
func (i *Inventory) Close() {
	i.stop()
	i.owned.Wait()
}

// read reads the file and those that it names, and leaves in r what was in them.
func (i *Inventory) read(r reading) (*Snapshot, error) {
	data, err := r.file(i.path)
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	snapshot, err := Parse(data, func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(i.path), name)
		}
		return r.file(name)
	})
	if err != nil {
		return nil, fmt.Errorf("inventory %s:\n%w", i.path, err)
	}
	return snapshot, nil
}

// Reload reads the file again, whether or not it has changed. On an error, which is logged too, what was known before
// stays in force.
func (i *Inventory) Reload(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case i.reload <- done:
		return <-done
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watch reads the file again whenever it, or a file that it names, has changed, and when it is asked to.
func (i *Inventory) watch(ctx context.Context, seen reading) {
	ticks := time.NewTicker(pollInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case done := <-i.reload:
			seen = reading{}
			done <- i.update(seen)
		case <-ticks.C:
			if !seen.isCurrent() {
				seen = reading{}
				_ = i.update(seen) // It has been logged.
			}
		}
	}
}

// update makes what is in the file the current snapshot.
func (i *Inventory) update(seen reading) error {
	snapshot, err := i.read(seen)
	if err != nil {
		i.log.Error("the inventory cannot be used; what was known before stays in force", "error", err)
		return err
	}
	i.current.Store(snapshot)
	i.log.Info("the inventory has been read again", "file", i.path)
	i.mu.Lock()
	notify := i.onChange
	i.mu.Unlock()
	for _, fn := range notify {
		fn(snapshot)
	}
	return nil
}

// reading is what files contained when they were read, by name. Contents are compared rather than times: no change is
// missed, however quick, and files that are replaced by links to others, as in Kubernetes, are seen like any other.
// The files are small.
type reading map[string]content

type content struct {
	text     string
	readable bool
}

func (r reading) file(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	r[name] = content{text: string(data), readable: err == nil}
	return data, err
}

// isCurrent says whether all files still contain what they did.
func (r reading) isCurrent() bool {
	for name, before := range r {
		if data, err := os.ReadFile(name); string(data) != before.text || (err == nil) != before.readable {
			return false
		}
	}
	return true
}
