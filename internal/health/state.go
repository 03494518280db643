package health

import (
	"time"

	"trellis/internal/shape"
)

// state is the result of one target's checks: INITIAL, HEALTHY or UNHEALTHY.
type state struct {
	status shape.TargetStatus
	// successes and failures count the latest results that were the same; one of them is zero.
	successes, failures int
	since               time.Time // when the status became what it is
}

// record counts a result. A target that has not been judged yet is healthy after one success; an unhealthy one needs as
// many in a row as the threshold says; any target is unhealthy after a threshold of failures in a row (UG
// target-group-health-checks). Where the guide once writes "exceeds the threshold", we read "reaches".
func (s *state) record(success bool, set *settings, now time.Time) {
	if !success {
		s.successes = 0
		s.failures++
		if s.failures >= set.unhealthyThreshold {
			s.become(shape.TargetStatusUnhealthy, now)
		}
		return
	}
	s.failures = 0
	s.successes++
	if s.status == shape.TargetStatusInitial || s.successes >= set.healthyThreshold {
		s.become(shape.TargetStatusHealthy, now)
	}
}

func (s *state) become(status shape.TargetStatus, now time.Time) {
	if s.status != status {
		s.status, s.since = status, now
	}
}
