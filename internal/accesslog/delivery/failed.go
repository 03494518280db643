package delivery

import (
	"slices"
	"sync"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/excerpt"
)

// Failed exchanges are remembered for people who look later. That takes some 10 MB at most, and costs only exchanges that
// fail: for each service, at most as many in a second as are remembered.
const (
	rememberedFailures = 16
	rememberedServices = 1000
	shownFailureBytes  = 200 // the most of each text that a client has chosen
)

// Failure is an exchange that failed, or that was answered with a status of 5xx.
type Failure struct {
	At       time.Time
	Duration time.Duration
	// Service is an ARN, empty if no service has the host's name. TargetGroup is an ARN too; Rule is an id.
	Service, ServiceName         string
	TargetGroup, TargetGroupName string
	Rule                         string
	// Target is an address or the ARN of a function, Source the client's address.
	Target, Source string
	// Method, Host and Path may be cut.
	Method, Host, Path string
	Status             int
	// Reason is empty if the target chose the status. Problem says what exactly was wrong, where that is known.
	Reason  accesslog.Failure
	Problem string
	// Denied says whose policy denied the request, and Caller who had signed it.
	Denied    accesslog.Denial
	Caller    string
	RequestID string
}

// memory holds the last failed exchanges of each service.
type memory struct {
	mu    sync.Mutex // mu guards the fields below. The data path only tries to lock it.
	rings map[remembered]*ring
	last  int64 // how many have been remembered
}

// remembered is the key of a ring: denials have one of their own, so that many of them do not drive out the failures of
// targets.
type remembered struct {
	service string // ARN
	denied  bool
}

// ring holds the last failures; a new one replaces the oldest.
type ring struct {
	failures [rememberedFailures]Failure
	next     int
}

// Failed implements accesslog.Log.
func (m *memory) Failed(r *accesslog.Record) {
	if !m.mu.TryLock() {
		return
	}
	defer m.mu.Unlock()
	key := remembered{denied: r.Failure == accesslog.ClientAccessDenied}
	if r.Service != nil {
		key.service = r.Service.ARN
	}
	in := m.rings[key]
	if in == nil {
		if m.rings == nil {
			m.rings = map[remembered]*ring{}
		}
		if len(m.rings) >= rememberedServices {
			m.forgetOldest()
		}
		in = &ring{}
		m.rings[key] = in
	}
	now := time.Now()
	if now.Sub(in.failures[in.next].At) < time.Second {
		return
	}
	in.failures[in.next] = failureOf(r, now)
	in.next = (in.next + 1) % rememberedFailures
	m.last++
}

// forgetOldest makes room for another ring.
func (m *memory) forgetOldest() {
	var oldest remembered
	var at time.Time
	for key, in := range m.rings {
		if last := in.latest(); at.IsZero() || last.Before(at) {
			oldest, at = key, last
		}
	}
	delete(m.rings, oldest)
}

func (r *ring) latest() time.Time {
	return r.failures[(r.next+rememberedFailures-1)%rememberedFailures].At
}

// failureOf copies from a record what is remembered.
func failureOf(r *accesslog.Record, now time.Time) Failure {
	f := Failure{
		At: now, Duration: r.Duration, Target: r.Place().String(), Source: r.Source.String(),
		Method: excerpt.Of(string(r.Method), shownFailureBytes), Host: excerpt.Of(string(r.Host), shownFailureBytes), Path: excerpt.Of(string(r.Path), shownFailureBytes),
		Status: r.Status, Reason: r.Failure, RequestID: excerpt.Of(string(r.RequestID), shownFailureBytes),
	}
	if r.Service != nil {
		f.Service, f.ServiceName = r.Service.ARN, r.Service.Name
	}
	if r.Forward != nil {
		f.TargetGroup, f.TargetGroupName = r.Forward.TargetGroup.ARN, r.Forward.TargetGroup.Name
	}
	if r.Rule != nil {
		f.Rule = r.Rule.ID
	}
	if r.Problem != nil {
		f.Problem = excerpt.Of(r.Problem.Error(), 2*shownFailureBytes)
	}
	if r.Caller != nil {
		f.Denied, f.Caller = r.Caller.Denied, r.Caller.ResolvedUser
	}
	return f
}

// LastFailures returns the last failures that wants accepts, the latest first, up to the number most.
func (m *memory) LastFailures(most int, wants func(*Failure) bool) []Failure {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Failure
	for _, in := range m.rings {
		for i := range in.failures {
			if f := &in.failures[i]; !f.At.IsZero() && wants(f) {
				found = append(found, *f)
			}
		}
	}
	slices.SortFunc(found, func(a, b Failure) int { return b.At.Compare(a.At) })
	return found[:min(most, len(found))]
}

// Failures returns how many failures have been remembered.
func (m *memory) Failures() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.last
}
