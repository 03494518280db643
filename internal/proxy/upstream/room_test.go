package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"trellis/test/trellistest"
)

func TestConnectionsToAllTargetsHaveRoomTogether(t *testing.T) {
	pools := newPools(t, func(cfg *Config) { cfg.MaxTotal = 2 })
	var pool [3]*HTTP1Pool
	var accepted [3]<-chan net.Conn
	for i := range pool {
		var address netip.AddrPort
		address, accepted[i] = listen(t)
		pool[i] = pools.newHTTP1(way{address: address})
	}
	first, second := dial(t, pool[0]), dial(t, pool[1])
	pools.cfg.DialTimeout = 50 * time.Millisecond
	if _, err := pool[2].Dial(context.Background()); !errors.Is(err, errNoRoom) {
		t.Errorf("without room: %v", err)
	}
	pools.cfg.DialTimeout = time.Minute
	first.Release()
	pools.Sweep(time.Now()) // So that the other one is idle for less long.
	second.Release()
	third := dial(t, pool[2])
	if !closed(<-accepted[0]) {
		t.Error("the connection that was idle for longest was not closed")
	}
	if pool[1].Idle() != second {
		t.Error("the other one was closed")
	}
	second.Discard()
	dial(t, pool[0]).Discard()
	third.Discard()
	if len(pools.room.places) != 0 {
		t.Errorf("%d places are taken by nobody", len(pools.room.places))
	}
}

func TestPlacesOfFailedConnectionsAreFree(t *testing.T) {
	pools := newPools(t, func(cfg *Config) { cfg.MaxTotal = 1 })
	address, _ := listen(t)
	refusing := trellistest.RefusingAddress(t).AddrPort()
	if _, err := pools.newHTTP1(way{address: refusing}).Dial(context.Background()); err == nil {
		t.Fatal("a connection to an address at which nobody listens was made")
	}
	dial(t, pools.newHTTP1(way{address: address})).Discard()
	if len(pools.room.places) != 0 {
		t.Errorf("%d places are taken by nobody", len(pools.room.places))
	}
}
