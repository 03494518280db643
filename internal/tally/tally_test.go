package tally

import (
	"math"
	"sync"
	"testing"
	"time"
)

// Each time is in that bucket of each kind whose bounds hold it.
func TestEachTimeIsInItsBuckets(t *testing.T) {
	for _, d := range []time.Duration{
		-1, 0, 1, 15258, 15259, 16 * time.Microsecond, 80 * time.Microsecond, 4999999, 5 * time.Millisecond, 5000001, 10 * time.Millisecond,
		999999999, time.Second, time.Second + 1, 7500 * time.Millisecond, 10 * time.Second, 11 * time.Second, 1024 * time.Second, 1100 * time.Second,
	} {
		var h Durations
		h.Add(d)
		got := h.Read()
		seconds := max(d, 0).Seconds()
		classic := got.Classic()
		for i, bound := range ClassicBounds {
			if want := uint64(0); seconds <= bound {
				want = 1
				if classic[i] != want {
					t.Errorf("%v is %d times in the bucket up to %v s", d, classic[i], bound)
				}
			} else if classic[i] != 0 {
				t.Errorf("%v is in the bucket up to %v s", d, bound)
			}
		}
		buckets := 0
		zero := got.Native(func(index int, count uint64) {
			buckets++
			lower, upper := nativeBound(index-1), nativeBound(index)
			if count != 1 || seconds <= lower-1e-9 || seconds > upper {
				t.Errorf("%v is %d times in the native bucket from %v to %v", d, count, lower, upper)
			}
		})
		if (zero == 1) != (seconds <= ZeroThreshold()) || int(zero)+buckets != 1 {
			t.Errorf("%v is in %d native buckets and %d times in the zero bucket, want one in all", d, buckets, zero)
		}
		if got.Count() != 1 || math.Abs(got.Sum()-seconds) > 1e-9 {
			t.Errorf("%v is counted %d times with a sum of %v s, want once", d, got.Count(), got.Sum())
		}
	}
}

func TestBoundsAreInOrder(t *testing.T) {
	for i := 1; i < len(bounds); i++ {
		if bounds[i] <= bounds[i-1] {
			t.Fatalf("bound %d is %d, after %d", i, bounds[i], bounds[i-1])
		}
	}
}

func TestNothingIsLostWhenManyCount(t *testing.T) {
	const goroutines, times = 8, 10_000
	shards, e := NewShards(), &Exchanges{}
	var counting sync.WaitGroup
	for range goroutines {
		counting.Go(func() {
			for i := range times {
				e.Begin(shards.Here())
				here := shards.Here()
				e.Moved(here, 2, 3)
				e.End(here, NewEnd(OutcomeOf(200+100*(i%2)), time.Duration(i)*time.Microsecond, i%2))
			}
		})
	}
	var totals Totals
	done := make(chan struct{})
	go func() { counting.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if e.Read(&totals); totals.Active < 0 || totals.Active > goroutines*times {
			t.Fatalf("%d are active", totals.Active)
		}
	}
	e.Read(&totals)
	const all = goroutines * times
	if totals.Active != 0 || totals.Received != 2*all || totals.Sent != 3*all || totals.Outcomes[2] != all/2 || totals.Outcomes[3] != all/2 ||
		totals.Failures[1] != all/2 || totals.Requests.Count() != all {
		t.Errorf("got %+v", totals)
	}
}

func TestActiveExchangesAreThoseThatHaveNotEnded(t *testing.T) {
	shards, e := NewShards(), &Exchanges{}
	var totals Totals
	if e.Read(&totals) {
		t.Error("there are figures before anything was counted")
	}
	e.Begin(shards.Here())
	e.Begin(shards.Here())
	e.End(shards.Here(), NewEnd(Passed, time.Minute, 0))
	if !e.Read(&totals) || totals.Active != 1 || totals.Outcomes[Passed] != 1 || totals.Requests.Count() != 0 {
		t.Errorf("got %+v", totals)
	}
}

func TestCountingDoesNotAlloc(t *testing.T) {
	shards, e := NewShards(), &Exchanges{}
	count := func() {
		e.Begin(shards.Here())
		here := shards.Here()
		e.Moved(here, 1, 1)
		e.End(here, NewEnd(2, time.Millisecond, 1))
	}
	for i := range shards.all { // Each core has begun.
		e.Begin(shards.all[i])
		e.End(shards.all[i], NewEnd(2, 0, 0))
	}
	if n := testing.AllocsPerRun(1000, count); n != 0 {
		t.Errorf("counting takes %v allocations", n)
	}
}

// An exchange that is forwarded is counted for its service and for its target group.
func BenchmarkForwardedExchange(b *testing.B) {
	shards := NewShards()
	var service, group Exchanges
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for d := time.Duration(0); pb.Next(); d += 997 {
			group.Begin(shards.Here())
			here := shards.Here()
			service.End(here, NewEnd(2, d%time.Second, 0))
			group.End(here, NewEnd(2, d%time.Second, 0))
			group.Moved(here, 100, 200)
		}
	})
}

func BenchmarkClock(b *testing.B) {
	for b.Loop() {
		start := time.Now()
		_ = time.Since(start)
	}
}

func TestQuantilesAreThoseOfWhatHasComeSince(t *testing.T) {
	var d Durations
	for range 1000 {
		d.Add(time.Second)
	}
	before := d.Read()
	for i := range 100 {
		d.Add(time.Duration(i+1) * time.Millisecond)
	}
	now := d.Read()
	since := now.Since(&before)
	if since.Count() != 100 || since.Sum() < 5.04 || since.Sum() > 5.06 {
		t.Errorf("%d times have come, %v s together", since.Count(), since.Sum())
	}
	for _, test := range []struct{ share, least, most float64 }{{0.5, 0.045, 0.055}, {0.99, 0.09, 0.1}, {1, 0.1, 0.1}} {
		if got := since.Quantile(test.share); got < test.least || got > test.most {
			t.Errorf("quantile %v is %v s", test.share, got)
		}
	}
	var none Distribution
	if got := none.Quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v", got)
	}
	var long Durations
	long.Add(time.Hour)
	if got := long.Read(); got.Quantile(0.5) < 1000 {
		t.Errorf("the median of an hour is %v s", got.Quantile(0.5))
	}
}
