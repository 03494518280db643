package catalog

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pageSize is how many keys a listing asks for at once.
const pageSize = 4000

// listing is all that is stored at one revision.
type listing struct {
	rows     []*row // in order of their keys
	revision int64
	head     int64
	skipped  map[string]error // why keys are not in rows
}

// page is a part of a listing. Its rows are nil where a key is not a record.
type page struct {
	kvs    []*mvccpb.KeyValue
	rows   []*row
	errors map[string]error
}

// list reads everything at one revision, and again at a later one if that is compacted meanwhile.
func list(ctx context.Context, kv clientv3.KV) (*listing, error) {
	for {
		l, err := listOnce(ctx, kv)
		if errors.Is(err, rpctypes.ErrCompacted) {
			continue
		}
		return l, err
	}
}

// listOnce reads page after page, while the pages before are decoded on all processors.
func listOnce(ctx context.Context, kv clientv3.KV) (*listing, error) {
	var pages []*page
	var decoders sync.WaitGroup
	queue := make(chan *page, runtime.GOMAXPROCS(0))
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() {
			for p := range queue {
				p.decode()
			}
		})
	}

	l := &listing{skipped: make(map[string]error)}
	end := clientv3.GetPrefixRangeEnd(prefix)
	options := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(pageSize)}
	err := func() error {
		defer close(queue)
		for from := prefix; ; {
			resp, err := kv.Get(ctx, from, options...)
			if err != nil {
				return err
			}
			if l.revision == 0 {
				l.revision = resp.Header.Revision
				options = append(options, clientv3.WithRev(l.revision))
			}
			p := &page{kvs: resp.Kvs}
			pages = append(pages, p)
			select {
			case queue <- p:
			case <-ctx.Done():
				return context.Cause(ctx)
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
	for _, p := range pages {
		for i, kv := range p.kvs {
			if p.rows[i] != nil {
				l.rows = append(l.rows, p.rows[i])
			} else if string(kv.Key) == headKey {
				l.head = kv.ModRevision
			}
		}
		for key, err := range p.errors {
			l.skipped[key] = err
		}
		p.kvs = nil
	}
	return l, nil
}

func (p *page) decode() {
	p.rows = make([]*row, len(p.kvs))
	for i, kv := range p.kvs {
		if !isRecordKey(kv.Key) {
			continue
		}
		r, err := decode(kv)
		if err != nil {
			if p.errors == nil {
				p.errors = make(map[string]error)
			}
			p.errors[string(kv.Key)] = err
			continue
		}
		p.rows[i] = r
	}
}
