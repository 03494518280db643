package catalog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"trellis/internal/lattice"
)

// testCluster starts an etcd server that is reached over the network, and returns its endpoints.
func testCluster(t testing.TB) []string {
	t.Helper()
	cfg := embeddedConfig(Config{Ephemeral: true, Log: testLog(t)}, t.TempDir(), func(error) {})
	loopback := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = loopback, loopback
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
	return []string{"http://" + server.Clients[0].Addr().String()}
}

func TestOneOfTwoWritersGetsTheName(t *testing.T) {
	endpoints := testCluster(t)
	nodes := []*Catalog{start(t, Config{Endpoints: endpoints}), start(t, Config{Endpoints: endpoints})}
	for round := range 20 {
		name := fmt.Sprintf("name-%d", round)
		var mu sync.Mutex
		var winners, losers []lattice.Key
		var wg sync.WaitGroup
		for _, node := range nodes {
			for range 3 {
				wg.Go(func() {
					g := group(name)
					err := node.Commit(t.Context(), func(tx *Tx) error { tx.Put(g); return nil })
					mu.Lock()
					defer mu.Unlock()
					claimed, ok := errors.AsType[*ClaimedError](err)
					switch {
					case err == nil:
						winners = append(winners, g.Key())
					case ok && claimed.Claim == g.Claims()[0]:
						losers = append(losers, claimed.Holder)
					default:
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if len(winners) != 1 || len(losers) != 5 {
			t.Fatalf("%d writers got the name and %d did not, want 1 and 5", len(winners), len(losers))
		}
		for _, holder := range losers {
			if holder != winners[0] {
				t.Errorf("%s was said to hold the name of %s", holder, winners[0])
			}
		}
	}
	converge(t, nodes...)
}

func TestOneMutationCanSwapClaims(t *testing.T) {
	c := start(t, Config{})
	a, b := group("a"), group("b")
	put(t, c, a, b)
	swapped := []lattice.TargetGroup{*a, *b}
	swapped[0].Name, swapped[1].Name = "b", "a"
	put(t, c, &swapped[0], &swapped[1])
	if got, want := namesOf(c), []string{"a", "b"}; !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Read(func(v View) {
		for _, g := range swapped {
			if holder, ok := v.Holder(g.Claims()[0]); !ok || holder != g.Key() {
				t.Errorf("%q is held by %s, want %s", g.Name, holder, g.Key())
			}
		}
	})
	err := c.Commit(t.Context(), func(tx *Tx) error {
		renamed := swapped[0]
		renamed.Name = "a"
		tx.Put(&renamed)
		return nil
	})
	if claimed, ok := errors.AsType[*ClaimedError](err); !ok || claimed.Holder != b.Key() {
		t.Errorf("got %v, want a ClaimedError that names %s", err, b.Key())
	}
	commit(t, c, func(tx *Tx) { tx.Delete(b.Key()) })
	put(t, c, group("a"))
}

func TestMutationsOfABatchSeeEachOther(t *testing.T) {
	c := start(t, Config{})
	busy, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		commit(t, c, func(tx *Tx) {
			select {
			case <-busy:
			default:
				close(busy)
			}
			<-release
			tx.Put(group("first"))
		})
	})
	<-busy
	const writers = 20
	seen := make([]int, writers)
	for i := range writers {
		wg.Go(func() {
			commit(t, c, func(tx *Tx) {
				seen[i] = tx.Count(groups)
				if got := len(names(tx)); got != seen[i] {
					t.Errorf("the list has %d of %d", got, seen[i])
				}
				tx.Put(group(fmt.Sprintf("group-%d", i)))
			})
		})
	}
	close(release)
	wg.Wait()
	slices.Sort(seen)
	for i, n := range seen {
		if n != i+1 {
			t.Fatalf("the writers saw %d records: not one after another", seen)
		}
	}
}

func TestNodesAgreeAfterRandomMutations(t *testing.T) {
	endpoints := testCluster(t)
	const nodes, writers, mutations = 2, 3, 60
	var followers []*follower
	var catalogs []*Catalog
	for range nodes {
		f := newFollower(t)
		followers = append(followers, f)
		catalogs = append(catalogs, start(t, Config{Endpoints: endpoints, MaxOperations: 16, Apply: f.apply}))
	}
	var wg sync.WaitGroup
	for node, c := range catalogs {
		for writer := range writers {
			wg.Go(func() {
				w := world{rand.New(rand.NewPCG(uint64(node), uint64(writer)))}
				for range mutations {
					err := c.Commit(context.Background(), func(tx *Tx) error {
						for range 1 + w.random.IntN(4) {
							switch w.random.IntN(6) {
							case 0:
								tx.Delete(w.record().Key())
							case 1:
								root := w.root()
								tx.DeleteTree(root.Kind, root.Scope, root.Path)
							case 2:
								tx.write(w.group(), lattice.TokenRetention)
							default:
								tx.Put(w.record())
							}
						}
						if w.random.IntN(10) == 0 {
							return errors.ErrUnsupported
						}
						return nil
					})
					if _, claimed := errors.AsType[*ClaimedError](err); err != nil && !claimed && !errors.Is(err, errors.ErrUnsupported) {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	catalogs = append(catalogs, start(t, Config{Endpoints: endpoints}))
	converge(t, catalogs...)
	for i, f := range followers {
		f.compare(catalogs[i])
	}
}

func TestEndpointsThatDoNotAnswerAreNamed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	const nobody = "http://127.0.0.1:1"
	_, err := Open(ctx, Config{Endpoints: []string{nobody}, Log: testLog(t)})
	if err == nil || !strings.Contains(err.Error(), nobody) {
		t.Errorf("got %v, want an error that names %s", err, nobody)
	}
}
