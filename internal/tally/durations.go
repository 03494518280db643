package tally

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// The buckets of native histograms: each reaches to the next power of 2^(2^-NativeSchema), in seconds. Times below the
// smallest bucket count as zero; times above the largest, 17 minutes, are in the bucket after it.
const (
	NativeSchema = 2
	nativeFrom   = -16 << NativeSchema // 15 microseconds
	nativeTo     = 10 << NativeSchema
)

// ClassicBounds are the upper bounds of the buckets of classic histograms, in seconds: those that OpenTelemetry advises for
// http.server.request.duration (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
var ClassicBounds = [...]float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

// bounds are those of both kinds of histograms, in nanoseconds: so an observation is counted in one place for both.
var bounds = makeBounds()

// buckets is the number of buckets, including the one after the last bound. A quarter, a half and a whole second are bounds of
// both kinds.
const buckets = nativeTo - nativeFrom + 1 + len(ClassicBounds) - 3 + 1

// firsts has, for the number of bits that a time in nanoseconds has, the first bucket that it can be in.
var firsts = makeFirsts()

func nativeBound(index int) float64 { return math.Exp2(float64(index) / (1 << NativeSchema)) }

func nanoseconds(seconds float64) int64 { return int64(math.Floor(seconds * 1e9)) }

func makeBounds() (all [buckets - 1]int64) {
	list := make([]int64, 0, len(all))
	for index := nativeFrom; index <= nativeTo; index++ {
		list = append(list, nanoseconds(nativeBound(index)))
	}
	for _, bound := range ClassicBounds {
		list = append(list, int64(math.Round(bound*1e9)))
	}
	slices.Sort(list)
	copy(all[:], slices.Compact(list))
	return all
}

func makeFirsts() (firsts [64]uint8) {
	for size := range firsts {
		least := int64(0)
		if size > 0 {
			least = 1 << (size - 1)
		}
		at, _ := slices.BinarySearch(bounds[:], least)
		firsts[size] = uint8(at)
	}
	return firsts
}

// Durations counts times by how long they are. The zero value is ready for use.
type Durations struct {
	counts [buckets]atomic.Uint64
	sum    atomic.Int64
}

// Add counts a time.
func (h *Durations) Add(d time.Duration) {
	d = max(d, 0)
	h.add(bucketOf(d), d)
}

func (h *Durations) add(bucket int, d time.Duration) {
	h.counts[bucket].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf returns the bucket that counts a time, which is not negative.
func bucketOf(d time.Duration) int {
	at := int(firsts[bits.Len64(uint64(d))])
	for at < len(bounds) && int64(d) > bounds[at] {
		at++
	}
	return at
}

// Distribution is what Durations hold at some moment.
type Distribution struct {
	counts [buckets]uint64
	sum    int64
}

func (to *Distribution) add(h *Durations) (count uint64) {
	for i := range h.counts {
		n := h.counts[i].Load()
		to.counts[i] += n
		count += n
	}
	to.sum += h.sum.Load()
	return count
}

// Add adds another distribution.
func (to *Distribution) Add(other *Distribution) {
	for i, n := range other.counts {
		to.counts[i] += n
	}
	to.sum += other.sum
}

// Read returns what has been counted.
func (h *Durations) Read() (d Distribution) {
	d.add(h)
	return d
}

// Count returns how many times there are.
func (d *Distribution) Count() (n uint64) {
	for _, count := range d.counts {
		n += count
	}
	return n
}

// Sum returns the sum of all times in seconds.
func (d *Distribution) Sum() float64 { return float64(d.sum) / 1e9 }

// Classic returns how many times are not longer than each of ClassicBounds.
func (d *Distribution) Classic() (cumulative [len(ClassicBounds)]uint64) {
	var n uint64
	next := 0
	for i, bound := range bounds {
		n += d.counts[i]
		if next < len(ClassicBounds) && bound == int64(math.Round(ClassicBounds[next]*1e9)) {
			cumulative[next] = n
			next++
		}
	}
	return cumulative
}

// ZeroThreshold is the longest time, in seconds, that native histograms take for none.
func ZeroThreshold() float64 { return nativeBound(nativeFrom) }

// Native calls a function with the count of each native bucket that is not empty, in order. A bucket reaches up to 2 to the
// power of its index over 2^NativeSchema. Times up to ZeroThreshold are returned.
func (d *Distribution) Native(each func(index int, count uint64)) (zero uint64) {
	var n uint64
	index := nativeFrom
	for i, count := range d.counts {
		n += count
		if i < len(bounds) && bounds[i] != nanoseconds(nativeBound(min(index, nativeTo))) {
			continue // The bound of a classic bucket.
		}
		switch {
		case index == nativeFrom:
			zero = n
		case n > 0:
			each(index, n)
		}
		n = 0
		index++
	}
	return zero
}

// Since returns what has been counted since an earlier reading of the same Durations.
func (d *Distribution) Since(before *Distribution) (more Distribution) {
	for i := range d.counts {
		more.counts[i] = d.counts[i] - before.counts[i]
	}
	more.sum = d.sum - before.sum
	return more
}

// Quantile returns the time, in seconds, that a share of all times does not exceed: the share's place within its bucket, as if
// the times in a bucket were spread evenly. It is 0 if there are no times.
func (d *Distribution) Quantile(share float64) float64 {
	wanted, before := share*float64(d.Count()), float64(0)
	if wanted == 0 {
		return 0
	}
	for i, count := range d.counts {
		n := float64(count)
		if before+n < wanted || n == 0 {
			before += n
			continue
		}
		if i == len(bounds) { // The length of these times is not known.
			return float64(bounds[i-1]) / 1e9
		}
		from := int64(0)
		if i > 0 {
			from = bounds[i-1]
		}
		return (float64(from) + (wanted-before)/n*float64(bounds[i]-from)) / 1e9
	}
	return 0
}
