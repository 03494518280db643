package proxy

import (
	"maps"
	"runtime"
	"slices"
	"time"

	"trellis/internal/proxy/downstream"
	"trellis/internal/proxy/exchange"
)

// sweptAtOnce is the number of connections after which the sweeper lets other goroutines run: a sweep of thousands takes
// milliseconds, for which requests would have to wait.
const sweptAtOnce = 32

// sweep watches the time until Shutdown.
func (p *Proxy) sweep() {
	ticker := time.NewTicker(downstream.Tick)
	defer ticker.Stop()
	for turn := 1; ; turn++ {
		select {
		case now := <-ticker.C:
			p.env.Clock.Set(now)
			p.sweepConnections()
			p.makeRoom()
			p.workers.retire()
			if turn%int(time.Second/downstream.Tick) == 0 {
				p.env.Exchanges.SetTime(now)
				p.pools.Sweep(now)
				p.retryBinding()
			}
			if turn%int(exchange.FailureInterval/downstream.Tick) == 0 {
				p.env.Exchanges.SweepFailures()
			}
		case <-p.crowd.full:
			p.makeRoom()
		case <-p.env.Dialing.Done():
			return
		}
	}
}

func (p *Proxy) sweepConnections() {
	p.sweeping.Lock()
	defer p.sweeping.Unlock()
	p.mu.Lock()
	connections := slices.AppendSeq(p.swept[:0], maps.Keys(p.connections))
	p.mu.Unlock()
	now, draining := p.env.Clock.Now(), p.env.Draining.Load()
	for i, c := range connections {
		if i%sweptAtOnce == sweptAtOnce-1 {
			runtime.Gosched()
		}
		c.Sweep(now, draining)
	}
	clear(connections) // Connections that end must not be kept in memory.
	p.swept = connections
}
