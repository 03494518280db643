package function

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"trellis/internal/inventory"
	"trellis/internal/tally"
)

// pool is the processes of one function, and the events that wait for them. An event goes to the process that has been
// idle for the shortest time, so that those that are not needed end.
type pool struct {
	functions *Functions
	name      string // of the function
	log       *slog.Logger
	calls     tally.Calls

	mu sync.Mutex // mu guards the fields below, and those of its processes that say so.
	// declared is the function as it is now. The present generation has its command, its environment and so on.
	declared   inventory.Function
	generation int // counts reloads
	processes  map[*process]struct{}
	idle       []*process    // idle ones of the present generation; the last one was used last
	starting   int           // processes of the present generation that have not asked for an event yet
	present    int           // processes of the present generation
	waiting    []*invocation // the first one has waited the longest
	works      bool          // some process of the present generation has asked for an event
	broken     *StartError   // why the present generation cannot start
	lastError  *Incident
	retiring   bool // idle processes are ended at once
	closed     bool // the function is gone
}

// invocation is an event in a pool.
type invocation struct {
	Invocation
	done     chan outcome // has room for one
	deadline time.Time    // set once a process has it
	timeout  time.Duration
}

// The reasons why a process gets no event, or why its response is refused.
var (
	errOutOfTurn  = errors.New("an event has not been answered yet, or another request waits for the next one")
	errEnding     = errors.New("this process is being ended")
	errOtherEvent = errors.New("the process does not have this event")
)

// Response is what a function answered.
type Response struct {
	Payload []byte
	// ContentType is what the function said of the payload, or empty.
	ContentType string
}

type outcome struct {
	response Response
	err      error
}

// Incident is an error and when it occurred.
type Incident struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

func newPool(f *Functions, declared inventory.Function) *pool {
	return &pool{
		functions: f,
		name:      declared.Name(),
		log:       f.log.With("function", declared.Name()),
		declared:  declared,
		processes: map[*process]struct{}{},
		retiring:  f.retiring,
	}
}

// show passes on what the function writes to those who watch.
func (p *pool) show(requestID, line string) {
	if show := p.functions.cfg.Output; show != nil {
		show(p.name, requestID, line)
	}
}

// watch makes the watcher tell the pool about changes of the function's files.
func (p *pool) watch() {
	p.functions.watcher.watch(p, p.declared.Watch, func(file string) { p.reload("a file changed", "file", file) })
}

// declare applies the function's entry, which may have changed.
func (p *pool) declare(declared inventory.Function) {
	p.mu.Lock()
	same := p.declared.Equal(declared)
	p.declared = declared
	p.mu.Unlock()
	if !same {
		p.watch()
		p.reload("its entry changed")
	}
}

// reload gives events to new processes from now on. Those that have an event finish it.
func (p *pool) reload(reason string, details ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generation++
	p.starting, p.present, p.works, p.broken = 0, 0, false, nil
	idle := p.idle
	p.idle = nil
	for _, process := range idle {
		process.end()
	}
	for process := range p.processes {
		if process.state == starting {
			process.end()
		}
	}
	p.log.Info("the function is reloaded: "+reason, details...)
	p.startNeeded()
}

// close ends the processes of a function that is gone, except for those that have an event.
func (p *pool) close() {
	p.functions.watcher.unwatch(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, inv := range p.waiting {
		inv.done <- outcome{err: &UnknownError{inv.ARN}}
	}
	p.waiting = nil
	p.endUnused()
}

func (p *pool) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retiring = true
	p.endUnused()
}

// endUnused ends all processes that have no event.
func (p *pool) endUnused() {
	idle := p.idle
	p.idle = nil
	for _, process := range idle {
		process.end()
	}
	if len(p.waiting) > 0 {
		return
	}
	for process := range p.processes {
		if process.state == starting {
			process.end()
		}
	}
}

// endIdle ends the processes that have been idle since a time.
func (p *pool) endIdle(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 && !p.idle[0].since.After(since) {
		process := p.idle[0]
		p.idle = p.idle[1:]
		process.end()
	}
}

// invoke gives an event to a process and waits for the response.
func (p *pool) invoke(ctx context.Context, in Invocation) (Response, error) {
	inv := &invocation{Invocation: in, done: make(chan outcome, 1)}
	waits, err := p.admit(inv)
	if err != nil {
		return Response{}, err
	}
	var late, returned <-chan time.Time
	if waits {
		ticker, timer := time.NewTicker(p.functions.cfg.MaxWait), time.NewTimer(returnTime)
		defer ticker.Stop()
		defer timer.Stop()
		late, returned = ticker.C, timer.C
	}
	for {
		select {
		case o := <-inv.done:
			return o.response, o.err
		case <-ctx.Done():
			p.withdraw(inv)
			return Response{}, context.Cause(ctx)
		case <-returned:
			p.mu.Lock()
			p.startNeeded()
			p.mu.Unlock()
		case <-late:
			if err := p.giveUp(inv); err != nil {
				return Response{}, err
			}
		}
	}
}

// admit gives an event to an idle process, or makes it wait for one.
func (p *pool) admit(inv *invocation) (waits bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return false, &UnknownError{inv.ARN}
	case p.broken != nil:
		return false, p.broken
	case len(p.idle) > 0:
		process := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		process.give(inv)
		return false, nil
	case len(p.waiting) >= p.functions.cfg.MaxWaiting:
		return false, p.throttled()
	}
	p.waiting = append(p.waiting, inv)
	p.startNeeded()
	return true, nil
}

// returnTime is how long a process that has answered may take to ask for its next event before another one is started for
// an event that waits. Without it, a client that sends one request after the other would often have two processes.
const returnTime = 50 * time.Millisecond

// startNeeded starts processes for the events that wait, up to the function's concurrency. Processes of former generations
// do not count: they end soon, and a reload must not wait for them.
func (p *pool) startNeeded() {
	if len(p.waiting) == 0 || p.present >= p.declared.Concurrency {
		return
	}
	coming := 0
	for process := range p.processes {
		if process.state == busy && process.current == nil && process.generation == p.generation && time.Since(process.since) < returnTime {
			coming++
		}
	}
	for p.broken == nil && p.starting+coming < len(p.waiting) && p.present < p.declared.Concurrency {
		process := newProcess(p)
		p.processes[process] = struct{}{}
		p.starting++
		p.present++
		p.functions.owned.Go(process.run)
	}
}

func (p *pool) throttled() error {
	err := &ThrottledError{Function: p.declared.Name(), Concurrency: p.declared.Concurrency}
	p.note(err)
	return err
}

// giveUp throttles an event that has waited for too long, unless a process is starting that may take it.
func (p *pool) giveUp(inv *invocation) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starting > 0 || !p.remove(inv) {
		return nil
	}
	return p.throttled()
}

// withdraw removes an event from those that wait. An event that a process has stays there.
func (p *pool) withdraw(inv *invocation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(inv)
}

func (p *pool) remove(inv *invocation) bool {
	at := slices.Index(p.waiting, inv)
	if at >= 0 {
		p.waiting = slices.Delete(p.waiting, at, at+1)
	}
	return at >= 0
}

// ask is called by a process that wants an event. It gets one at once, or an event is sent to process.next later.
func (p *pool) ask(process *process) (*invocation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch process.state {
	case starting:
		process.asked = true
		if process.generation == p.generation {
			p.starting--
			p.works = true
		}
	case busy:
		if process.current != nil {
			return nil, errOutOfTurn
		}
	case idle:
		return nil, errOutOfTurn
	case ending:
		return nil, errEnding
	}
	process.timer.Stop()
	switch {
	case process.generation != p.generation || p.closed:
		process.end()
		return nil, errEnding
	case len(p.waiting) > 0:
		inv := p.waiting[0]
		p.waiting = p.waiting[1:]
		process.take(inv)
		return inv, nil
	case p.retiring:
		process.end()
		return nil, errEnding
	}
	process.state, process.since = idle, time.Now()
	p.idle = append(p.idle, process)
	return nil, nil
}

// leave is called when a process no longer waits for the event that it asked for, since its request has ended.
func (p *pool) leave(process *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := slices.Index(p.idle, process); at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
		process.state = busy
		process.awaitNext()
	}
}

// complete passes on the result of a process's event.
func (p *pool) complete(process *process, id string, o outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	inv := process.current
	if inv == nil || inv.RequestID != id {
		return errOtherEvent
	}
	process.current = nil
	process.since = time.Now()
	if process.state == busy {
		process.awaitNext()
	}
	p.finish(inv, o)
	return nil
}

func (p *pool) finish(inv *invocation, o outcome) {
	if o.err != nil {
		p.note(o.err)
	}
	inv.done <- o
}

func (p *pool) note(err error) { p.lastError = &Incident{At: time.Now(), Text: err.Error()} }

// expired is called when a process's time is over: for an event, for starting, or for asking for the next event.
func (p *pool) expired(process *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case process.state == ending || process.state == idle:
		return
	case process.current != nil && time.Until(process.current.deadline) > 0:
		return // The timer fired for the phase before.
	}
	process.late = true
	process.end()
}

// ended is called when a process and everything that it started have ended.
func (p *pool) ended(process *process, reason string, lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	process.timer.Stop()
	delete(p.processes, process)
	if at := slices.Index(p.idle, process); at >= 0 {
		p.idle = slices.Delete(p.idle, at, at+1)
	}
	present := process.generation == p.generation
	if present {
		p.present--
	}
	if inv := process.current; inv != nil {
		process.current = nil
		err := error(&EndedError{p.declared.Name(), reason, lines})
		if process.late {
			err = &TimeoutError{p.declared.Name(), inv.timeout}
		}
		p.log.Warn("the event has failed", "requestId", inv.RequestID, "error", err)
		p.finish(inv, outcome{err: err})
	} else if process.wanted() {
		p.log.Warn("a process of the function has ended by itself", "pid", process.pid, "problem", reason)
	}
	if !process.asked && present {
		p.starting--
		if process.wanted() {
			if process.late {
				reason = fmt.Sprintf("it did not ask for an event within %v", process.startLimit())
			}
			p.startFailed(&StartError{p.declared.Name(), reason, lines})
		}
	}
	p.startNeeded()
}

// startFailed notes that a process could not start. If no process of its generation could start before, all events fail from
// now on, until something changes. Otherwise one event fails, so that events do not wait for a program that starts only now
// and then.
func (p *pool) startFailed(err *StartError) {
	if p.broken != nil {
		return // The failure has been reported.
	}
	p.note(err)
	p.log.Error("the function cannot start; it is tried again when a file or its entry changes", "error", err)
	failed := p.waiting
	if p.works {
		failed = failed[:min(len(failed), 1)]
	} else {
		p.broken = err
	}
	for _, inv := range failed {
		inv.done <- outcome{err: err}
	}
	p.waiting = p.waiting[len(failed):]
}

// problem returns why the function cannot be invoked, or nil.
func (p *pool) problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil {
		return nil
	}
	return p.broken
}
