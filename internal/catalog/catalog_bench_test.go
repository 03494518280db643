package catalog

import (
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// cpu returns the processor time that this process has used, which other work on the machine does not distort.
func cpu() time.Duration {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkCommitDurable measures mutations like CreateTargetGroup (a record and a token) that wait for the disk.
func BenchmarkCommitDurable(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			c, err := Open(b.Context(), Config{DataDir: b.TempDir(), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			work := make(chan int, b.N)
			for i := range b.N {
				work <- i
			}
			close(work)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for i := range work {
						g := group(fmt.Sprint("group-", i))
						token := &lattice.Token{Scope: scope, Operation: "CreateTargetGroup", Token: g.ID, Answer: []byte(`{"arn":"x"}`)}
						err := c.Commit(b.Context(), func(tx *Tx) error {
							if _, ok := tx.Get(token.Key()); ok {
								return nil
							}
							tx.Put(g)
							tx.PutExpiring(token)
							return nil
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// BenchmarkLoad measures what a start with 100,000 target groups of five targets each costs.
func BenchmarkLoad(b *testing.B) {
	s, err := openEmbedded(b.Context(), Config{Ephemeral: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	const groups, targets = 100_000, 5
	put := make(chan []clientv3.Op)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ops := range put {
				if _, err := s.kv.Txn(b.Context()).Then(ops...).Commit(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	var ops []clientv3.Op
	store := func(rec lattice.Record) {
		value, err := encode(rec)
		if err != nil {
			b.Fatal(err)
		}
		if ops = append(ops, clientv3.OpPut(prefix+rec.Key().String(), string(value))); len(ops) == defaultMaxOperations {
			put <- ops
			ops = nil
		}
	}
	now := time.Now().UTC()
	for i := range groups {
		g := group(fmt.Sprint("group-", i))
		store(g)
		members := &lattice.Targets{Scope: scope, TargetGroupID: g.ID}
		for j := range targets {
			members.Register(fmt.Sprintf("10.%d.%d.%d", i>>8&255, i&255, j), 80, now)
		}
		store(members)
	}
	put <- ops
	close(put)
	wg.Wait()
	b.ResetTimer()
	before := cpu()
	defer func() { b.ReportMetric((cpu()-before).Seconds()/float64(b.N), "cpu-s/op") }()
	for b.Loop() {
		r := newReplica(nil, slog.Default())
		if err := r.relist(b.Context(), s.kv); err != nil {
			b.Fatal(err)
		}
		if len(r.table.rows) != 2*groups {
			b.Fatal(len(r.table.rows))
		}
	}
}
