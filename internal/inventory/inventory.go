// Package inventory knows what other services of AWS know: the address ranges of VPCs, the addresses of instances and load
// balancers, functions and how to run them, certificates, and VPC endpoints. It reads this from one YAML file
// (docs/inventory.md), again whenever that changes, and from sources, which it asks regularly. Functions can also be declared
// on the command line. The control plane and the data plane look things up in snapshots; neither can change anything here.
//
// Invariant: a Snapshot never changes, and a file gets into it only as a whole and without a mistake. When a file has a mistake
// or a source fails, what they said before stays in force. Where a file and a source disagree, the file is right.
package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pollInterval is how often the file is checked for changes.
const pollInterval = time.Second

// Config says what an Inventory reads.
type Config struct {
	// Path is the file. Empty means that there is none.
	Path string
	// Functions are known whatever the file says. They take precedence over its functions with the same ARNs.
	Functions []Function
	// Sources are asked for what the file does not say.
	Sources []Source
	Log     *slog.Logger
}

// Inventory holds what its file says, and what its sources know.
type Inventory struct {
	cfg     Config
	log     *slog.Logger
	current atomic.Pointer[Snapshot]
	sources []*source

	mu sync.Mutex // mu guards the field below, and what the sources say.

	onChange []func(*Snapshot)

	reload  chan chan error
	learned chan struct{} // signalled when a source has new facts
	stop    context.CancelFunc
	owned   sync.WaitGroup // waits for the watch and the sources

	// The fields below are the watch's alone.
	file *Snapshot
	told []string // the problems that have been logged
}

// Open reads an inventory, and keeps it up to date until Close. The error names everything that is wrong with the file. A source
// that fails or takes long does not prevent the start.
func Open(ctx context.Context, cfg Config) (*Inventory, error) {
	i := &Inventory{cfg: cfg, log: cfg.Log, reload: make(chan chan error), learned: make(chan struct{}, 1)}
	seen := reading{}
	var err error
	if i.file, err = i.read(seen); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	i.stop = stop
	for _, from := range cfg.Sources {
		s := &source{Source: from, refresh: make(chan struct{}, 1), first: make(chan struct{})}
		i.sources = append(i.sources, s)
		i.owned.Go(func() { i.poll(running, s) })
	}
	i.awaitSources(ctx)
	select {
	case <-i.learned: // It is published below.
	default:
	}
	i.publish()
	i.owned.Go(func() { i.watch(running, seen) })
	return i, nil
}

// Current returns the current snapshot. A nil inventory has a nil snapshot, in which nothing is found.
func (i *Inventory) Current() *Snapshot {
	if i == nil {
		return nil
	}
	return i.current.Load()
}

// OnChange registers a function that is called after each change of the current snapshot, with the new one, from one
// goroutine.
func (i *Inventory) OnChange(fn func(*Snapshot)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.onChange = append(i.onChange, fn)
}

// Close ends watching and asking, and waits until they have ended.
func (i *Inventory) Close() {
	i.stop()
	i.owned.Wait()
}

// read reads the file and those that it names, and notes in r what was in them.
func (i *Inventory) read(r reading) (*Snapshot, error) {
	snapshot := newSnapshot()
	if i.cfg.Path != "" {
		var err error
		if snapshot, err = i.readFile(r); err != nil {
			return nil, err
		}
	}
	for _, f := range i.cfg.Functions {
		snapshot.functions[f.ARN] = f
	}
	return snapshot, nil
}

func (i *Inventory) readFile(r reading) (*Snapshot, error) {
	data, err := r.file(i.cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("reading the inventory: %w", err)
	}
	directory, err := filepath.Abs(filepath.Dir(i.cfg.Path))
	if err != nil {
		return nil, fmt.Errorf("finding the directory of the inventory: %w", err)
	}
	snapshot, err := Parse(data, directory, func(name string) ([]byte, error) { return r.file(absolute(directory, name)) })
	if err != nil {
		return nil, fmt.Errorf("inventory %s:\n%w", i.cfg.Path, err)
	}
	return snapshot, nil
}

// Reload reads the file again, whether or not it has changed, and has the sources asked at once. On an error, which is
// logged too, what was known before stays in force.
func (i *Inventory) Reload(ctx context.Context) error {
	for _, s := range i.sources {
		select {
		case s.refresh <- struct{}{}:
		default:
		}
	}
	done := make(chan error, 1)
	select {
	case i.reload <- done:
		return <-done
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watch reads the file again whenever it or a file that it names has changed, and when it is asked to. It also publishes what
// sources say.
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
		case <-i.learned:
			i.publish()
		case <-ticks.C:
			if !seen.isCurrent() {
				seen = reading{}
				_ = i.update(seen) // Reload has logged the error.
			}
		}
	}
}

// update reads the file, and publishes what it says.
func (i *Inventory) update(seen reading) error {
	file, err := i.read(seen)
	if err != nil {
		i.log.Error("the inventory cannot be used; what was known before stays in force", "error", err)
		return err
	}
	i.file = file
	i.log.Info("the inventory has been read again", "file", i.cfg.Path)
	i.publish()
	return nil
}

// publish makes a snapshot from what the file and the sources say, and makes it the current one.
func (i *Inventory) publish() {
	snapshot, problems := i.file.with(i.facts())
	for _, problem := range problems {
		if !slices.Contains(i.told, problem) {
			i.log.Warn("some facts from AWS could not be used", "problem", problem)
		}
	}
	i.told = problems
	i.current.Store(snapshot)
	i.mu.Lock()
	notify := i.onChange
	i.mu.Unlock()
	for _, fn := range notify {
		fn(snapshot)
	}
}

// reading has the content of files when they were read, by name. Contents are compared rather than times, so that no change is
// missed, however quick, and files that are replaced by links to others, as in Kubernetes, are noticed like any other. The
// files are small.
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

// isCurrent reports whether all files still contain what they did.
func (r reading) isCurrent() bool {
	for name, before := range r {
		if data, err := os.ReadFile(name); string(data) != before.text || (err == nil) != before.readable {
			return false
		}
	}
	return true
}
