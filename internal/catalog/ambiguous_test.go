package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// increment adds one to a counter in a tag of a target group.
func increment(c *Catalog, key lattice.Key) error {
	return c.Commit(context.Background(), func(tx *Tx) error {
		g, ok := Get[*lattice.TargetGroup](tx, key)
		if !ok {
			return errors.New("no counter")
		}
		next := *g
		next.Tags = map[string]string{"count": strconv.Itoa(1 + count(g))}
		tx.Put(&next)
		return nil
	})
}

func count(g *lattice.TargetGroup) int {
	n, _ := strconv.Atoi(g.Tags["count"])
	return n
}

// fault is what happens to a request whose sender gets an error.
type fault int

const (
	none  fault = iota
	lost        // it never arrives
	done        // it is done, and the answer is lost
	later       // it arrives later
	faults
)

// faultyNetwork turns requests of a node into errors.
type faultyNetwork struct {
	next     func() fault
	inFlight sync.WaitGroup
}

func (n *faultyNetwork) commit(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
	switch n.next() {
	case lost:
		return nil, rpctypes.ErrTimeout
	case done:
		commit()
		return nil, rpctypes.ErrLeaderChanged
	case later:
		n.inFlight.Go(func() {
			time.Sleep(rand.N(100 * time.Millisecond)) // Sleeps: how late the commit comes.
			commit()
		})
		return nil, context.DeadlineExceeded
	default:
		return commit()
	}
}

func TestAMutationIsStoredOnceWhateverHappensToTheRequests(t *testing.T) {
	// Each sequence is what happens to the requests that store one batch: the transaction, then the fences.
	for _, sequence := range [][]fault{
		{lost}, {done}, {later},
		{lost, lost}, {lost, done}, {lost, later},
		{done, lost}, {done, done}, {done, later},
		{later, lost}, {later, done}, {later, later},
		{later, later, done, lost},
	} {
		t.Run(fmt.Sprint(sequence), func(t *testing.T) {
			t.Parallel()
			s := testStore(t)
			var mu sync.Mutex
			var fates []fault
			network := &faultyNetwork{next: func() fault {
				mu.Lock()
				defer mu.Unlock()
				if len(fates) == 0 {
					return none
				}
				next := fates[0]
				fates = fates[1:]
				return next
			}}
			faulty := s.shared()
			faulty.kv = &faultyKV{s.kv, network.commit}
			c := startOn(t, faulty, Config{})
			g := group("counter")
			put(t, c, g)
			for i := range 5 {
				mu.Lock()
				fates = slices.Clone(sequence)
				mu.Unlock()
				if err := increment(c, g.Key()); err != nil {
					t.Fatal(err)
				}
				c.Read(func(v View) {
					if g, _ := Get[*lattice.TargetGroup](v, g.Key()); count(g) != i+1 {
						t.Errorf("the counter is %d after %d increments", count(g), i+1)
					}
				})
			}
			network.inFlight.Wait()
			fresh := startOn(t, s.shared(), Config{})
			converge(t, fresh, c)
			fresh.Read(func(v View) {
				if g, _ := Get[*lattice.TargetGroup](v, g.Key()); count(g) != 5 {
					t.Errorf("the counter is %d in the end, want 5", count(g))
				}
			})
		})
	}
}

func TestTwoNodesCountCorrectlyOverABadNetwork(t *testing.T) {
	t.Parallel()
	s := testStore(t)
	g := group("counter")
	var nodes []*Catalog
	var networks []*faultyNetwork
	for range 2 {
		network := &faultyNetwork{next: func() fault {
			if rand.IntN(4) > 0 {
				return none
			}
			return rand.N(faults)
		}}
		faulty := s.shared()
		faulty.kv = &faultyKV{s.kv, network.commit}
		nodes, networks = append(nodes, startOn(t, faulty, Config{})), append(networks, network)
	}
	put(t, nodes[0], g)
	converge(t, nodes...)
	const writers, times = 4, 8
	var wg sync.WaitGroup
	for _, node := range nodes {
		for range writers {
			wg.Go(func() {
				for range times {
					if err := increment(node, g.Key()); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, network := range networks {
		network.inFlight.Wait()
	}
	fresh := startOn(t, s.shared(), Config{})
	converge(t, append(nodes, fresh)...)
	fresh.Read(func(v View) {
		if g, _ := Get[*lattice.TargetGroup](v, g.Key()); count(g) != 2*writers*times {
			t.Errorf("the counter is %d, want %d", count(g), 2*writers*times)
		}
	})
}

func TestAFullStoreIsReportedUnlessItStoredTheTransaction(t *testing.T) {
	s := testStore(t)
	full, stores := false, false
	faulty := s.shared()
	faulty.kv = &faultyKV{s.kv, func(commit func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
		if !full {
			return commit()
		}
		if stores { // etcd stores the transaction that exceeds the quota, and reports that it was exceeded.
			stores = false
			commit()
			return nil, rpctypes.ErrNoSpace
		}
		return nil, rpctypes.ErrNoSpace
	}}
	readable := &readingKV{faultyKV: faulty.kv.(*faultyKV)}
	faulty.kv = readable
	c := startOn(t, faulty, Config{})
	put(t, c, group("a"))

	full, stores = true, true
	put(t, c, group("b"))
	err := c.Commit(t.Context(), func(tx *Tx) error { tx.Put(group("c")); return nil })
	if !errors.Is(err, rpctypes.ErrNoSpace) {
		t.Errorf("got %v, want %v", err, rpctypes.ErrNoSpace)
	}
	full = false
	put(t, c, group("d"))
	if got, want := namesOf(c), []string{"a", "b", "d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// readingKV accepts only transactions that put nothing, as a full etcd does.
type readingKV struct{ *faultyKV }

func (kv *readingKV) Txn(ctx context.Context) clientv3.Txn {
	return &readingTxn{Txn: kv.faultyKV.Txn(ctx), plain: kv.KV.Txn(ctx)}
}

type readingTxn struct {
	clientv3.Txn
	plain clientv3.Txn
	puts  bool
}

func (txn *readingTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	txn.Txn.If(cs...)
	txn.plain.If(cs...)
	return txn
}

func (txn *readingTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	txn.puts = slices.ContainsFunc(ops, clientv3.Op.IsPut)
	txn.Txn.Then(ops...)
	txn.plain.Then(ops...)
	return txn
}

func (txn *readingTxn) Else(ops ...clientv3.Op) clientv3.Txn {
	txn.Txn.Else(ops...)
	txn.plain.Else(ops...)
	return txn
}

func (txn *readingTxn) Commit() (*clientv3.TxnResponse, error) {
	if txn.puts {
		return txn.Txn.Commit()
	}
	return txn.plain.Commit()
}

func TestAWriteThatEtcdRefusesFailsAtOnce(t *testing.T) {
	s := testStore(t)
	faulty := s.shared()
	faulty.kv = &faultyKV{s.kv, func(func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
		return nil, rpctypes.ErrPermissionDenied
	}}
	c := startOn(t, faulty, Config{})
	err := c.Commit(t.Context(), func(tx *Tx) error { tx.Put(group("a")); return nil })
	if !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForAnEtcdThatDoesNotAnswer(t *testing.T) {
	s := testStore(t)
	faulty := s.shared()
	tried := make(chan struct{}, 100)
	faulty.kv = &faultyKV{s.kv, func(func() (*clientv3.TxnResponse, error)) (*clientv3.TxnResponse, error) {
		tried <- struct{}{}
		return nil, rpctypes.ErrTimeout
	}}
	c := startOn(t, faulty, Config{})
	answered := make(chan error)
	go func() {
		answered <- c.Commit(context.Background(), func(tx *Tx) error { tx.Put(group("a")); return nil })
	}()
	<-tried
	c.Close()
	if err := <-answered; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
