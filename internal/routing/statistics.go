package routing

import "trellis/internal/tally"

// Counted are the services and target groups whose exchanges are counted. Their order means nothing.
type Counted struct {
	Services []CountedService
	Groups   []*TargetGroup
}

// CountedService is a service and the exchanges of all its listeners.
type CountedService struct {
	ID, Name  string
	Exchanges *tally.Exchanges
}

// Counted returns what is counted now: services, and target groups that have been in use. What is deleted is not
// among them.
func (r *Router) Counted() Counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Counted{Services: make([]CountedService, 0, len(r.model.services)), Groups: make([]*TargetGroup, 0, len(r.model.groups))}
	for _, s := range r.model.services {
		if s.record != nil {
			c.Services = append(c.Services, CountedService{s.record.ID, s.record.Name, s.exchanges})
		}
	}
	for _, g := range r.model.groups {
		if g.compiled != nil {
			c.Groups = append(c.Groups, g.compiled)
		}
	}
	return c
}
