package health

import "time"

// In a tenth of a second, at most three times the average number of probes begin, or twice promptProbes if that is more
// at the start of the program, after a new question to thousands of targets, and when the machine has slept, many
// are due at the same time.
const (
	paceWindow   = 100 * time.Millisecond
	promptProbes = 64
	paceBurst    = 0.5 // times the average in a window
	paceRate     = 2.5
	paceBatch    = 20 * time.Millisecond
)

// pace delays probes that would make a burst. It is a bucket of tokens: each probe takes one.
type pace struct {
	// perWindow is how many probes are scheduled for a window on average, in billionths: sums of it stay exact.
	perWindow int64
	tokens    float64
	filled    time.Time
}

// share is what a target with an interval adds to perWindow.
func share(interval time.Duration) int64 { return int64(1e9 * float64(paceWindow) / float64(interval)) }

func (p *pace) average() float64 { return float64(p.perWindow) / 1e9 }

func (p *pace) refill(now time.Time) {
	average := p.average()
	windows := float64(now.Sub(p.filled)) / float64(paceWindow)
	p.tokens = min(p.tokens+windows*max(paceRate*average, promptProbes), max(paceBurst*average, promptProbes))
	p.filled = now
}

// next returns when a probe may begin: the zero time means now.
func (p *pace) next(now time.Time) time.Time {
	if p.tokens >= 1 {
		return time.Time{}
	}
	return now.Add(paceBatch)
}

func (p *pace) take() { p.tokens-- }

// batchTime is how long the schedule sleeps at least: with thousands of targets, many are asked in one go.
func (p *pace) batchTime() time.Duration {
	if p.average() < promptProbes/2 {
		return 0
	}
	return paceBatch
}
