package upstream

// warm makes spare connections ready, in the background, so that a request that comes at the same time as others need not
// wait for one. It is called when a new connection has carried its first exchange and is kept. A target that keeps no
// connection might serve them one after the other, and would wait for a request on the spare one.
//
// A spare connection that is not used is closed like any idle one. A target to which no connection can be made is left alone
// until an exchange has connected to it again.
func (p *HTTP1Pool) warm() {
	p.mu.Lock()
	begins := !p.warming && p.lacksSpare()
	p.warming = p.warming || begins
	p.mu.Unlock()
	if begins && !p.pools.makeSpare(p) {
		p.mu.Lock()
		p.warming = false
		p.mu.Unlock()
	}
}

// makeSpare makes a pool's spare connections, unless the pools are closed.
func (p *Pools) makeSpare(pool *HTTP1Pool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inBackground(pool.makeSpare)
}

func (p *HTTP1Pool) makeSpare() {
	for p.pools.room.hasPlace() && p.reserveSpare() {
		c, err := p.dial(p.pools.warming)
		if err != nil {
			break
		}
		p.put(c)
	}
	p.mu.Lock()
	p.warming = false
	p.mu.Unlock()
}

// reserveSpare counts another spare connection as open, if one should be made.
func (p *HTTP1Pool) reserveSpare() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	lacks := p.lacksSpare()
	if lacks {
		p.open++
	}
	return lacks
}

// lacksSpare reports whether a spare connection should be made. The caller holds p.mu.
func (p *HTTP1Pool) lacksSpare() bool {
	cfg := &p.pools.cfg
	return !p.closed && len(p.idle) < min(cfg.Spare, cfg.MaxIdle) && p.open < cfg.MaxConnections
}
