package catalog

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// A listing is read in a few large pages: for each, etcd counts all keys that follow, which makes many pages quadratic. Each
// page is decoded in chunks.
const (
	firstPage = 4000
	morePages = 6
	chunkSize = 1000
)

// listing is everything that is stored at one revision.
type listing struct {
	rows     []*row // in order of their keys
	revision int64
	head     int64
	skipped  map[string]error // the errors of keys that are not in rows
}

// chunk is a part of a listing.
type chunk struct {
	kvs    []*mvccpb.KeyValue // nil once decoded, to free as much memory as all records have
	rows   []*row
	head   int64 // the revision of the head key, if it is here
	errors map[string]error
}

// list reads everything at one revision, and again at a later one if that revision is compacted in the meantime.
func list(ctx context.Context, kv clientv3.KV) (*listing, error) {
	for {
		l, err := listOnce(ctx, kv)
		if errors.Is(err, rpctypes.ErrCompacted) {
			continue
		}
		return l, err
	}
}

// listOnce reads page after page, while all processors decode the earlier pages.
func listOnce(ctx context.Context, kv clientv3.KV) (*listing, error) {
	var chunks []*chunk
	var decoders sync.WaitGroup
	queue := make(chan *chunk, runtime.GOMAXPROCS(0))
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() {
			d := lattice.NewDecoder()
			for c := range queue {
				c.decode(d)
			}
		})
	}

	l := &listing{skipped: make(map[string]error)}
	end := clientv3.GetPrefixRangeEnd(prefix)
	limit := int64(firstPage)
	err := func() error {
		defer close(queue)
		for from := prefix; ; {
			resp, err := kv.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(limit), clientv3.WithRev(l.revision))
			if err != nil {
				return err
			}
			if l.revision == 0 {
				l.revision = resp.Header.Revision
				limit = max(limit, resp.Count/morePages)
			}
			for kvs := range slices.Chunk(resp.Kvs, chunkSize) {
				c := &chunk{kvs: kvs}
				chunks = append(chunks, c)
				select {
				case queue <- c:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if !resp.More || len(resp.Kvs) == 0 {
				return nil
			}
			from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
		}
	}()
	decoders.Wait()
	if err != nil {
		return nil, err
	}
	for _, c := range chunks {
		l.rows = append(l.rows, c.rows...)
		l.head = max(l.head, c.head)
		for key, err := range c.errors {
			l.skipped[key] = err
		}
	}
	return l, nil
}

func (c *chunk) decode(d *lattice.Decoder) {
	c.rows = make([]*row, 0, len(c.kvs))
	for _, kv := range c.kvs {
		if string(kv.Key) == headKey {
			c.head = kv.ModRevision
		}
		if !isRecordKey(kv.Key) {
			continue
		}
		r, err := decode(d, kv)
		if err != nil {
			if c.errors == nil {
				c.errors = make(map[string]error)
			}
			c.errors[string(kv.Key)] = err
			continue
		}
		c.rows = append(c.rows, r)
	}
	c.kvs = nil
}
