// Package tally counts what happens on many cores at once, for package metrics to read now and then. A figure costs one
// atomic addition: nothing locks and nothing is allocated, except for the place that a core counts in when it does so first.
//
// What is counted lives in the objects that it is about. A reader sees each figure as it was at some moment of the reading;
// figures that are read one after the other may differ by what happened in between.
package tally

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// maxShards bounds how many places an object has to count in: beyond that, cores share them, which no longer shows.
const maxShards = 16

// Shards tells goroutines where to count, so that cores do not take memory out of each other's caches.
type Shards struct {
	// places has about one element for each core that has counted: a Pool keeps a value for the core that put it.
	places sync.Pool
	all    []Shard
	next   atomic.Uint32
}

// Shard is where a goroutine counts for the moment.
type Shard struct{ index uint32 }

// NewShards returns as many shards as there are cores, up to a limit.
func NewShards() *Shards {
	s := &Shards{all: make([]Shard, min(runtime.GOMAXPROCS(0), maxShards))}
	for i := range s.all {
		s.all[i].index = uint32(i)
	}
	s.places.New = func() any { return &s.all[int(s.next.Add(1)-1)%len(s.all)] }
	return s
}

// Here returns the shard of the core that the goroutine runs on. The goroutine may run on another core a moment later, which
// makes counting slower, not wrong.
func (s *Shards) Here() Shard {
	shard := s.places.Get().(*Shard)
	s.places.Put(shard)
	return *shard
}
