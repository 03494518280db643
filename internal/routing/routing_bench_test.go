package routing

import (
	"fmt"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// tenRules is a service with ten rules, of which a request to /r9 with the header x-env: dev matches the last, whose
// weights are 75 and 25.
func tenRules(t testing.TB) (*world, *Request) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	dev := []shape.HeaderMatch{header("x-env", shape.HeaderMatchType{Exact: new("dev")})}
	for i := range 10 {
		match := pathPrefix(fmt.Sprint("/r", i))
		match.HeaderMatches = dev
		w.put(w.rule("svc-1", "listener-1", fmt.Sprint("rule-", i), int32(i+1), match, weighted(forwardTo("tg-1", "tg-2"), 75, 25)))
	}
	return w, &Request{Method: []byte("GET"), Path: []byte("/r9/orders/4711"), Headers: headerLines{
		{[]byte("host"), []byte("svc-1.lattice.test")},
		{[]byte("accept"), []byte("*/*")},
		{[]byte("x-env"), []byte("dev")},
	}}
}

// headerLines are header lines as the proxy has them, without a conversion per lookup.
type headerLines []struct{ name, value []byte }

func (l headerLines) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(l); i++ {
		if string(l[i].name) == name {
			return l[i].value, i + 1
		}
	}
	return nil, -1
}

// BenchmarkRequest measures all that routing does for a request.
func BenchmarkRequest(b *testing.B) {
	w, request := tenRules(b)
	port := w.Ports()[0]
	for _, host := range []string{"svc-1.lattice.test", "SVC-1.lattice.test:8080"} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			host := []byte(host)
			for b.Loop() {
				if port.Lookup(host).Route(request).Choose().TargetGroup.Next() == nil {
					b.Fatal("no target")
				}
			}
		})
	}
}

// BenchmarkRequestFromAllCores is BenchmarkRequest on all cores at once, which share the turns.
func BenchmarkRequestFromAllCores(b *testing.B) {
	w, request := tenRules(b)
	port := w.Ports()[0]
	host := []byte("svc-1.lattice.test")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if port.Lookup(host).Route(request).Choose().TargetGroup.Next() == nil {
				b.Error("no target")
			}
		}
	})
}

const (
	manyServices             = 10_000
	targetGroupsPerService   = 10
	targetsPerTargetGroup    = 5
	manyTargetGroupsReferred = manyServices * targetGroupsPerService
)

// city is many services with ten rules each, as one batch of changes.
func city(w *world) []lattice.Change {
	var changes []lattice.Change
	add := func(records ...lattice.Record) {
		for _, record := range records {
			changes = append(changes, lattice.Change{New: record})
		}
	}
	add(w.network("sn-1"), w.vpcAssociation("sn-1", "vpc-0123456789abcdef0"))
	for i := range manyServices {
		id := fmt.Sprintf("svc-%017d", i)
		listener := fmt.Sprintf("listener-%017d", i)
		add(w.service(id), w.association(id, "sn-1"), w.listener(id, listener, shape.ListenerProtocolHttp, 80))
		for j := range targetGroupsPerService {
			group := fmt.Sprintf("tg-%017d", i*targetGroupsPerService+j)
			add(w.targetGroup(group))
			var targets []*lattice.Target
			for k := range targetsPerTargetGroup {
				targets = append(targets, target(group, k))
			}
			add(w.plus(targets...))
			rule := fmt.Sprintf("rule-%017d", i*targetGroupsPerService+j)
			if j == 0 {
				add(w.rule(id, listener, rule, lattice.DefaultRulePriority, nil, forwardTo(group)))
			} else {
				add(w.rule(id, listener, rule, int32(j), pathPrefix(fmt.Sprint("/r", j)), forwardTo(group)))
			}
		}
	}
	return changes
}

// BenchmarkLoad applies 10,000 services, 100,000 target groups, 100,000 rules and 500,000 targets at once.
func BenchmarkLoad(b *testing.B) {
	changes := city(newWorld(b))
	b.ReportAllocs()
	for b.Loop() {
		r := NewRouter(Config{})
		if uses := r.Apply(changes); len(uses) != manyTargetGroupsReferred {
			b.Fatalf("%d target groups in use, want %d", len(uses), manyTargetGroupsReferred)
		}
	}
}

// BenchmarkChange applies one change to a router that has all of BenchmarkLoad.
func BenchmarkChange(b *testing.B) {
	w := newWorld(b)
	r := NewRouter(Config{})
	r.Apply(city(w))
	const service, listener, group = "svc-00000000000005000", "listener-00000000000005000", "tg-00000000000050000"
	weights := func(i int) []lattice.Change {
		rule := w.rule(service, listener, "rule-00000000000050000", lattice.DefaultRulePriority, nil,
			weighted(forwardTo(group, "tg-00000000000050001"), int32(i%1000), 999))
		return []lattice.Change{{New: rule}}
	}
	for _, change := range []struct {
		name string
		make func(i int) []lattice.Change
	}{
		{"weight", weights},
		{"target", func(i int) []lattice.Change {
			few, many := w.minus(target(group, 77)), w.plus(target(group, 77))
			if i%2 == 0 {
				return []lattice.Change{{Old: few, New: many}}
			}
			return []lattice.Change{{Old: many, New: few}}
		}},
		{"service", func(i int) []lattice.Change {
			added := w.service("svc-new")
			association := w.association("svc-new", "sn-1")
			listener := w.listener("svc-new", "listener-new", shape.ListenerProtocolHttp, 80)
			rule := w.defaultRule("svc-new", "listener-new", fixed(404))
			if i%2 == 0 {
				return []lattice.Change{{New: added}, {New: association}, {New: listener}, {New: rule}}
			}
			return []lattice.Change{{Old: rule}, {Old: listener}, {Old: association}, {Old: added}}
		}},
		{"vpc", func(i int) []lattice.Change {
			return []lattice.Change{{New: w.vpcAssociation("sn-1", "vpc-0123456789abcdef0")}}
		}},
		{"network", func(i int) []lattice.Change { // All services go and come with it.
			if i%2 == 0 {
				return []lattice.Change{{Old: w.network("sn-1")}}
			}
			return []lattice.Change{{New: w.network("sn-1")}}
		}},
	} {
		b.Run(change.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r.Apply(change.make(i))
			}
		})
	}
}
