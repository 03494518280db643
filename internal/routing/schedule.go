package routing

import (
	"slices"
	"sync/atomic"
)

// maxWeight is the API's bound of a weight, which also bounds the length of a schedule.
const maxWeight = 999

// defaultWeight is the weight of a target group without one (API WeightedTargetGroup).
const defaultWeight = 100

// schedule chooses indexes exactly by weight: within every len(turns) consecutive turns each index comes as often as its
// reduced weight says, evenly spread. The turns are those of smooth weighted round robin: in every turn each index gains its
// weight, the one with the most is chosen, and that one loses the sum of all weights.
type schedule struct {
	weights []int
	only    int     // the one index that has a weight, or -1
	turns   []uint8 // the indexes of a round; an action has at most ten target groups
	turn    atomic.Uint64
}

// newSchedule returns the schedule of weights, or nil if all of them are 0.
func newSchedule(weights []int) *schedule {
	divisor, sum := 0, 0
	only, positive := -1, 0
	for i, weight := range weights {
		divisor = gcd(weight, divisor)
		sum += weight
		if weight > 0 {
			only = i
			positive++
		}
	}
	switch positive {
	case 0:
		return nil
	case 1:
		return &schedule{weights: weights, only: only}
	}
	s := &schedule{weights: weights, only: -1, turns: make([]uint8, sum/divisor)}
	credit := make([]int, len(weights))
	for turn := range s.turns {
		best := -1
		for i, weight := range weights {
			credit[i] += weight
			if weight > 0 && (best < 0 || credit[i] > credit[best]) {
				best = i
			}
		}
		credit[best] -= sum
		s.turns[turn] = uint8(best)
	}
	return s
}

// next returns the index whose turn it is.
func (s *schedule) next() int {
	if s.only >= 0 {
		return s.only
	}
	return int(s.turns[(s.turn.Add(1)-1)%uint64(len(s.turns))])
}

// share returns the part of the turns that an index has.
func (s *schedule) share(index int) float64 {
	sum := 0
	for _, weight := range s.weights {
		sum += weight
	}
	return float64(s.weights[index]) / float64(sum)
}

// is reports whether the schedule is for the weights.
func (s *schedule) is(weights []int) bool { return s != nil && slices.Equal(s.weights, weights) }

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
