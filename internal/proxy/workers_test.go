package proxy

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestWorkersCarryOneConnectionAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		var carried atomic.Int64
		w := newWorkers()
		carry := func() { <-end; carried.Add(1) }
		for range maxIdleWorkers + 10 {
			w.take(carry)
		}
		synctest.Wait()
		if n := w.idle.Load(); n != 0 {
			t.Errorf("%d workers wait while all have a connection", n)
		}
		close(end)
		synctest.Wait()
		if n := w.idle.Load(); n != maxIdleWorkers || carried.Load() != maxIdleWorkers+10 {
			t.Errorf("%d workers wait after %d connections, want %d", n, carried.Load(), maxIdleWorkers)
		}

		end = make(chan struct{})
		for range 5 {
			w.take(carry)
		}
		synctest.Wait()
		if n := w.idle.Load(); n != maxIdleWorkers-5 {
			t.Errorf("%d workers wait while five of %d have a connection", n, maxIdleWorkers)
		}
		w.retire()
		synctest.Wait()
		if n := w.idle.Load(); n != maxIdleWorkers-6 {
			t.Errorf("%d workers wait after one was ended", n)
		}
		close(end)
		synctest.Wait()
		w.close() // Else the test ends with goroutines that wait forever.
		if n := w.idle.Load(); n != 0 {
			t.Errorf("%d workers wait in the end", n)
		}
	})
}

func TestNoWorkerIsEndedWhenNoneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		w := newWorkers()
		w.retire()
		w.take(func() { <-end })
		synctest.Wait()
		w.retire()
		close(end)
		synctest.Wait()
		if n := w.idle.Load(); n != 1 {
			t.Errorf("%d workers wait, want the one that had a connection", n)
		}
		w.close()
	})
}
