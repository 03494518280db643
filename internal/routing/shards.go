package routing

import (
	"hash/maphash"
	"iter"
	"maps"
	"sync/atomic"
)

// shardCount is the number of maps that names are spread over. A change copies one of them: with 10,000 services, of two
// names each, about 80 names instead of 20,000.
const shardCount = 256

// shards is a map by name that is read without a lock while it changes. The router's lock guards all but find and all.
type shards[V any] struct {
	seed      maphash.Seed
	published [shardCount]atomic.Pointer[map[string]V]
	drafts    map[uint64]map[string]V // the shards that are being changed
}

func newShards[V any]() shards[V] {
	return shards[V]{seed: maphash.MakeSeed(), drafts: map[uint64]map[string]V{}}
}

// find looks a name up in the published shards.
func (s *shards[V]) find(name []byte) (v V, ok bool) {
	shard := s.published[s.shardOf(name)].Load()
	if shard == nil {
		return v, false
	}
	v, ok = (*shard)[string(name)]
	return v, ok
}

// all yields the published entries.
func (s *shards[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for i := range s.published {
			shard := s.published[i].Load()
			if shard == nil {
				continue
			}
			for name, v := range *shard {
				if !yield(name, v) {
					return
				}
			}
		}
	}
}

func (s *shards[V]) shardOf(name []byte) uint64 { return maphash.Bytes(s.seed, name) % shardCount }

// draft returns the shard of a name, for changes. They take effect with publish.
func (s *shards[V]) draft(name string) map[string]V {
	at := s.shardOf([]byte(name))
	draft := s.drafts[at]
	if draft == nil {
		draft = map[string]V{}
		if shard := s.published[at].Load(); shard != nil {
			draft = maps.Clone(*shard)
		}
		s.drafts[at] = draft
	}
	return draft
}

// drafted looks a name up among the entries that will be published. It makes no draft: a reader needs no new map.
func (s *shards[V]) drafted(name string) (v V, ok bool) {
	shard, drafted := s.drafts[s.shardOf([]byte(name))]
	if !drafted {
		return s.find([]byte(name))
	}
	v, ok = shard[name]
	return v, ok
}

// publish puts the drafts in place of their shards.
func (s *shards[V]) publish() {
	for at, draft := range s.drafts {
		s.published[at].Store(&draft)
	}
	clear(s.drafts)
}
