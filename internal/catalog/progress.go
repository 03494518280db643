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

// wait returns nil once the revision has been reached, and the context's cause if that ends first.
func (p *progress) wait(ctx context.Context, revision int64) error {
	for {
		p.mu.Lock()
		if p.at >= revision {
			p.mu.Unlock()
			return nil
		}
		if p.moved == nil {
			p.moved = make(chan struct{})
		}
		moved := p.moved
		p.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
