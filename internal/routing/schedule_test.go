package routing

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func TestTurnsAreEvenlySpread(t *testing.T) {
	for _, test := range []struct {
		weights []int
		want    []uint8
	}{
		{[]int{75, 25}, []uint8{0, 0, 1, 0}},
		{[]int{5, 1, 1}, []uint8{0, 0, 1, 0, 2, 0, 0}},
		{[]int{100, 100}, []uint8{0, 1}},
		{[]int{999, 0, 333}, []uint8{0, 0, 2, 0}},
	} {
		if got := newSchedule(test.weights).turns; !slices.Equal(got, test.want) {
			t.Errorf("weights %v have the turns %v, want %v", test.weights, got, test.want)
		}
	}
}

// In any window, wherever it begins and however long it is, every index has its share to within one turn, and exactly
// its share over a whole round. (With more than two indexes smooth turns can be off by a little more.)
func TestWeightsAreExactOverAnyWindow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		weights := make([]int, 1+random.IntN(10))
		for i := range weights {
			weights[i] = random.IntN(maxWeight + 1)
		}
		s := newSchedule(weights)
		if s == nil {
			continue
		}
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			sum := 0
			for _, weight := range weights {
				sum += weight
			}
			turns := make([]int, 3*max(1, len(s.turns)))
			for i := range turns {
				turns[i] = s.next()
			}
			length := 1 + random.IntN(len(turns))
			start := random.IntN(len(turns) - length + 1)
			counts := make([]int, len(weights))
			for _, index := range turns[start : start+length] {
				counts[index]++
			}
			for i, count := range counts {
				share := float64(length) * float64(weights[i]) / float64(sum)
				tolerance := float64(len(weights) - 1)
				if length%max(1, len(s.turns)) == 0 {
					tolerance = 0
				}
				if off := float64(count) - share; off < -tolerance-1e-9 || off > tolerance+1e-9 {
					t.Errorf("index %d has %d of %d turns, its share is %.2f", i, count, length, share)
				}
			}
		})
	}
}

func TestWeightZeroGetsNothing(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1", "tg-2"), 0, 100)))
	for range 200 {
		if got := w.choose(); got != "tg-2" {
			t.Fatalf("chosen %s, which has the weight 0", got)
		}
	}
}

func TestNoTargetGroupIsChosenWhenAllWeightsAreZero(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1", "tg-2"), 0, 0)))
	if got := w.lookup(80, "svc-1.lattice.test").Route(get("/")).Choose(); got != nil {
		t.Errorf("chosen %s", got.TargetGroup.ID)
	}
}

func TestWeightThatIsNotGivenIs100(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	action := forwardTo("tg-1", "tg-2")
	action.Forward.TargetGroups[0].Weight = new(int32(300))
	w.put(w.defaultRule("svc-1", "listener-1", action))
	counts := map[string]int{}
	for range 400 {
		counts[w.choose()]++
	}
	if counts["tg-1"] != 300 || counts["tg-2"] != 100 {
		t.Errorf("chosen %v, want 300 and 100", counts)
	}
}

func TestWeightsHoldUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2", "tg-3")
	w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1", "tg-2", "tg-3"), 70, 20, 10)))
	rule := w.lookup(80, "svc-1.lattice.test").Route(get("/"))
	var mu sync.Mutex
	counts := map[string]int{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			mine := map[string]int{}
			for range 1000 {
				mine[rule.Choose().TargetGroup.ID]++
			}
			mu.Lock()
			defer mu.Unlock()
			for id, count := range mine {
				counts[id] += count
			}
		})
	}
	group.Wait()
	if counts["tg-1"] != 5600 || counts["tg-2"] != 1600 || counts["tg-3"] != 800 {
		t.Errorf("chosen %v, want exactly 5600, 1600 and 800", counts)
	}
}

func TestRecompilationKeepsTheTurnUnlessWeightsChange(t *testing.T) {
	w := newWorld(t)
	w.storefront("tg-1", "tg-2")
	action := func(weights ...int32) {
		w.put(w.defaultRule("svc-1", "listener-1", weighted(forwardTo("tg-1", "tg-2"), weights...)))
	}
	action(3, 1) // tg-1, tg-1, tg-2, tg-1
	var got []string
	for i := range 4 {
		got = append(got, w.choose())
		w.put(w.rule("svc-1", "listener-1", "rule-1", int32(i+1), pathPrefix("/a"), fixed(404)))
		action(3, 1)
	}
	if want := []string{"tg-1", "tg-1", "tg-2", "tg-1"}; !slices.Equal(got, want) {
		t.Errorf("turns %v, want %v", got, want)
	}
	w.choose()
	action(1, 3) // tg-2, tg-1, tg-2, tg-2: from the beginning
	if got := w.choose(); got != "tg-2" {
		t.Errorf("the first turn of the new weights is %s, want tg-2", got)
	}
}
