package catalog

import (
	"context"
	"sync"
)

// progress is a revision that only grows, and that can be waited for.
type progress struct {
	mu    sync.Mutex // mu guards the fields below.
	at    int64
	moved chan struct{} // closed when at grows; nil while nobody waits
}

func (p *progress) now() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

func (p *progress) advance(to int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if to <= p.at {
		return
	}
	p.at = to
	if p.moved != nil {
		close(p.moved)
		p.moved = nil
	}
}

// wait returns nil once the revision has been reached. If one of the contexts ends first, it returns the reason.
func (p *progress) wait(revision int64, ctx, owner context.Context) error {
	for {
		moved := p.next(revision)
		if moved == nil {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-owner.Done():
			return context.Cause(owner)
		}
	}
}

// next returns nil if the revision has been reached, and otherwise a channel that is closed when at grows.
func (p *progress) next(revision int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at >= revision {
		return nil
	}
	if p.moved == nil {
		p.moved = make(chan struct{})
	}
	return p.moved
}
