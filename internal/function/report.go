package function

import (
	"cmp"
	"slices"
	"time"
)

// Report is what is known about a function that this node runs. The admin port shows it as JSON.
type Report struct {
	ARN       string   `json:"arn"`
	Command   []string `json:"command"`
	Directory string   `json:"directory"`
	// Processes are in the order of their numbers.
	Processes []ProcessReport `json:"processes"`
	// Waiting is how many events wait for a process.
	Waiting int `json:"waiting"`
	// LastError is the last event that failed, or nil.
	LastError *Incident `json:"lastError,omitempty"`
}

// ProcessReport is a process of a function.
type ProcessReport struct {
	PID   int    `json:"pid"`
	State string `json:"state"`
	// Since is when the process came into its state.
	Since time.Time `json:"since"`
	// RequestID is the id of the process's event.
	RequestID string `json:"requestId,omitempty"`
}

func (p *pool) report() Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Report{
		ARN:       p.declared.ARN,
		Command:   p.declared.Command,
		Directory: p.declared.Directory,
		Processes: []ProcessReport{},
		Waiting:   len(p.waiting),
		LastError: p.lastError,
	}
	for process := range p.processes {
		shown := ProcessReport{PID: process.pid, State: process.state.String(), Since: process.since}
		if process.current != nil {
			shown.RequestID = process.current.RequestID
		}
		r.Processes = append(r.Processes, shown)
	}
	slices.SortFunc(r.Processes, func(a, b ProcessReport) int { return cmp.Compare(a.PID, b.PID) })
	return r
}
