package configuration

import (
	"fmt"
	"time"
)

// Chaos says what goes wrong on purpose in dev, to test clients. Shares are between 0 and 1.
type Chaos struct {
	Latency      time.Duration `name:"latency" default:"0s" help:"Delay every API call by this much."`
	Throttle     float64       `name:"throttle" default:"0" help:"Answer this share of API calls 429, as in 0.1."`
	Error        float64       `name:"error" default:"0" help:"Answer this share of API calls 500, half of them after they have been carried out."`
	CreateFailed float64       `name:"create-failed" default:"0" help:"Make this share of created resources end in CREATE_FAILED."`
	Seed         uint64        `name:"seed" default:"0" help:"Seed that decides which calls go wrong; 0 chooses a new one at each start, which the log names."`
}

func (c Chaos) check(wrong func(flag string, value any, want string)) {
	if c.Latency < 0 || c.Latency > time.Minute {
		wrong("chaos-latency", c.Latency, "must be between 0s and 1m")
	}
	for _, share := range []struct {
		flag  string
		value float64
	}{{"chaos-throttle", c.Throttle}, {"chaos-error", c.Error}, {"chaos-create-failed", c.CreateFailed}} {
		if !(share.value >= 0 && share.value <= 1) { // NaN is neither.
			wrong(share.flag, share.value, "must be between 0 and 1")
		}
	}
	if c.Throttle+c.Error > 1 {
		wrong("chaos-throttle", c.Throttle, fmt.Sprintf("must not be more than 1 together with --chaos-error %v", c.Error))
	}
}
