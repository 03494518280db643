package routing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// TestEveryHistoryLeadsToTheSameTable changes records at random, in batches and in any order, and compares what the
// changes made of the router with what a router makes that is told of the outcome alone.
func TestEveryHistoryLeadsToTheSameTable(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 5))
			w := newWorld(t)
			inUse := map[lattice.Key]Use{}
			follow := func(uses []Use) {
				for _, use := range uses {
					delete(inUse, use.Key)
					if use.InUse {
						inUse[use.Key] = use
					}
				}
			}
			for range 150 {
				var changes []lattice.Change
				for range 1 + random.IntN(6) {
					record := w.randomRecord(random)
					change := lattice.Change{Old: w.records[record.Key()], New: record}
					if random.IntN(3) == 0 {
						change.New = nil
						delete(w.records, record.Key())
					} else {
						w.records[record.Key()] = record
					}
					if change.Old != nil || change.New != nil {
						changes = append(changes, change)
					}
				}
				follow(w.Apply(changes))
				if random.IntN(4) == 0 {
					w.randomHealth(random)
				}
			}
			w.compareWithFresh(t, inUse)

			for _, record := range w.records {
				follow(w.delete(record))
			}
			w.compareWithFresh(t, inUse)
			left := fmt.Sprint(len(w.model.services), len(w.model.networks), len(w.model.groups), len(w.ports), len(w.connectors), len(inUse))
			if left != "0 0 0 0 0 0" {
				t.Errorf("services, networks, target groups, ports, connectors, uses left: %s", left)
			}
		})
	}
}

// compareWithFresh compares the world's router with one that is told of the world's records at once.
func (w *world) compareWithFresh(t *testing.T, inUse map[lattice.Key]Use) {
	t.Helper()
	fresh := newWorld(t)
	fresh.health.down = w.health.down
	var changes []lattice.Change
	for _, record := range w.records {
		changes = append(changes, lattice.Change{New: record})
	}
	freshUses := map[lattice.Key]Use{}
	for _, use := range fresh.Apply(changes) {
		if !use.InUse {
			t.Errorf("a fresh start tells health of %v, which is not in use", use.Key)
		}
		freshUses[use.Key] = use
	}
	if diff := cmp.Diff(freshUses, inUse); diff != "" {
		t.Errorf("uses (-told at once +told by changes):\n%s", diff)
	}
	onlyInUse := func(table Table) Table {
		table.TargetGroups = slices.DeleteFunc(table.TargetGroups, func(g TargetGroupTable) bool { return !g.InUse })
		return table
	}
	if diff := cmp.Diff(onlyInUse(fresh.Table()), onlyInUse(w.Table())); diff != "" {
		t.Errorf("tables (-told at once +told by changes):\n%s", diff)
	}
	for key, g := range fresh.model.groups {
		if g.compiled != nil {
			if got, want := pickedIDs(w.model.groups[key].compiled), pickedIDs(g.compiled); !slices.Equal(got, want) {
				t.Errorf("targets of %s are %v, want %v", key.id, got, want)
			}
		}
	}
}

func pickedIDs(g *TargetGroup) []string {
	var ids []string
	for _, target := range g.picker.Load().targets {
		ids = append(ids, target.ID)
	}
	return ids
}

// randomRecord returns a record that may or may not be there already, and may refer to what is not there. Its time
// of creation follows from its key, as that of a record never changes.
func (w *world) randomRecord(random *rand.Rand) lattice.Record {
	pick := func(prefix string, n int) string { return fmt.Sprint(prefix, random.IntN(n)) }
	service, network, group := pick("svc-", 4), pick("sn-", 2), pick("tg-", 4)
	listener := pick("listener-", 2)
	var record lattice.Record
	switch random.IntN(9) {
	case 0:
		s := w.service(service)
		s.CustomDomainName = "shared.example.com"
		record = s
	case 1:
		record = w.network(network)
	case 2:
		record = w.association(service, network)
	case 3:
		record = w.vpcAssociation(network, pick("vpc-", 2))
	case 4:
		ports := map[string]int32{"listener-0": 80, "listener-1": 81}
		protocols := []shape.ListenerProtocol{shape.ListenerProtocolHttp, shape.ListenerProtocolTlsPassthrough}
		record = w.listener(service, listener, protocols[random.IntN(2)], ports[listener])
	case 5:
		record = w.defaultRule(service, listener, weighted(forwardTo(group, pick("tg-", 4)), int32(random.IntN(3)), int32(random.IntN(3))))
	case 6:
		n := int32(random.IntN(3))
		record = w.rule(service, listener, fmt.Sprint("rule-", n), n, pathPrefix("/"+pick("", 3)), forwardTo(group))
	case 7:
		g := w.targetGroup(group)
		if random.IntN(4) == 0 {
			g.Config.Protocol = shape.TargetGroupProtocolHttps
		}
		record = g
	default:
		r := target(group, random.IntN(4))
		if random.IntN(4) == 0 {
			r = draining(r)
		}
		return w.plus(r)
	}
	base := record.(lattice.Resource).Meta()
	base.CreatedAt = base.CreatedAt.Truncate(1 << 62)
	if random.IntN(8) == 0 {
		base.Lifecycle.Phase = lattice.PhaseDelete
	}
	return record
}

// randomHealth changes which targets of a group are available.
func (w *world) randomHealth(random *rand.Rand) {
	group := fmt.Sprint("tg-", random.IntN(4))
	for i := range 4 {
		w.health.down[target(group, i).Key()] = random.IntN(2) == 0
	}
	w.HealthChanged(lattice.TargetGroupKey(scope, group))
}

// TestTrafficFlowsThroughChanges routes requests while rules, targets and health change: each finds a target.
func TestTrafficFlowsThroughChanges(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	port := w.Ports()[0]
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := port.Lookup([]byte("SVC-1.lattice.test:8080"))
				if s == nil {
					t.Error("the service does not answer")
					return
				}
				forward := s.Route(get("/a", [2]string{"x", "y"})).Choose()
				if forward == nil || forward.TargetGroup.Next() == nil {
					t.Error("a request has no target")
					return
				}
			}
		})
	}
	for i := range 300 {
		w.put(w.rule("svc-1", "listener-1", "rule-1", 1, pathPrefix("/a"), weighted(forwardTo("tg-1", "tg-2"), int32(i%7), 1)))
		w.put(w.plus(draining(target("tg-1", 1))))
		w.put(w.plus(target("tg-1", 1+i%3)))
		w.HealthChanged(lattice.TargetGroupKey(scope, "tg-2"))
		w.put(w.minus(target("tg-1", 1)))
		// The rule moves from one target group to another one that was not in use so far.
		id := fmt.Sprint("tg-new-", i)
		w.put(w.targetGroup(id), w.plus(target(id, 1)))
		w.put(w.rule("svc-1", "listener-1", "rule-1", 1, pathPrefix("/a"), forwardTo(id)))
		w.put(w.service(fmt.Sprint("svc-new-", i)), w.service("svc-1"))
	}
	close(stop)
	group.Wait()
}
