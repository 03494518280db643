package function

import (
	"context"
	"errors"

	"trellis/internal/tally"
)

// kindOf returns the kind of the error that ended an invocation, empty without an error.
func kindOf(err error) string {
	is := func(_ any, ok bool) bool { return ok }
	switch {
	case err == nil:
		return ""
	case is(errors.AsType[*HandlerError](err)):
		return "handler"
	case is(errors.AsType[*EndedError](err)):
		return "ended"
	case is(errors.AsType[*StartError](err)):
		return "start"
	case is(errors.AsType[*TimeoutError](err)):
		return "timeout"
	case is(errors.AsType[*ThrottledError](err)):
		return "throttled"
	case is(errors.AsType[*TooLargeError](err)):
		return "too_large"
	case is(errors.AsType[*UnreachableError](err)):
		return "unreachable"
	case is(errors.AsType[*UnknownError](err)):
		return "unknown"
	case errors.Is(err, context.Canceled):
		return "canceled"
	default:
		return "other"
	}
}

// Statistics are the counters of a function.
type Statistics struct {
	Name string
	// Invocations have the kinds of errors as their codes.
	Invocations []tally.Counted
	// Processes counts the processes in each state, and Waiting the events that wait for one.
	Processes map[string]int
	Waiting   int
}

// Statistics returns the counters of each function that this node runs, and of all others together under the name "elsewhere".
func (f *Functions) Statistics() []Statistics {
	f.mu.Lock()
	pools := make([]*pool, 0, len(f.pools))
	for _, p := range f.pools {
		pools = append(pools, p)
	}
	f.mu.Unlock()
	all := []Statistics{{Name: "elsewhere", Invocations: f.calls.Read()}}
	for _, p := range pools {
		all = append(all, p.statistics())
	}
	return all
}

func (p *pool) statistics() Statistics {
	s := Statistics{Invocations: p.calls.Read(), Processes: map[string]int{}}
	for _, known := range []state{starting, idle, busy, ending} {
		s.Processes[known.String()] = 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Name, s.Waiting = p.declared.Name(), len(p.waiting)
	for process := range p.processes {
		s.Processes[process.state.String()]++
	}
	return s
}
