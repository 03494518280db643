package routing

import "trellis/internal/tally"

// Counted is what exchanges are counted for. The order means nothing.
type Counted struct {
	Services []CountedService
	Networks []CountedNetwork
	Rules    []CountedRule
	Groups   []*TargetGroup
}

// CountedService is a service and the exchanges of all its listeners.
type CountedService struct {
	ID, Name  string
	Exchanges *tally.Exchanges
}

// CountedNetwork is a service network and the exchanges of services that came through it.
type CountedNetwork struct {
	ID        string
	Exchanges *tally.Exchanges
}

// CountedRule is a rule of a listener, and the exchanges that it matched.
type CountedRule struct {
	ID, ListenerID string
	Exchanges      *tally.Exchanges
}

// Counted returns what there is now: services, service networks and rules, and target groups that have been in use. What is
// deleted is not among them.
func (r *Router) Counted() Counted {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Counted{
		Services: make([]CountedService, 0, len(r.model.services)), Networks: make([]CountedNetwork, 0, len(r.model.networks)),
		Groups: make([]*TargetGroup, 0, len(r.model.groups)),
	}
	for _, s := range r.model.services {
		if s.record == nil {
			continue
		}
		c.Services = append(c.Services, CountedService{s.record.ID, s.record.Name, s.exchanges})
		for _, l := range s.listeners {
			for _, rule := range l.rules {
				c.Rules = append(c.Rules, CountedRule{rule.record.ID, l.id, rule.exchanges})
			}
		}
	}
	for _, n := range r.model.networks {
		if n.record != nil && n.compiled != nil {
			c.Networks = append(c.Networks, CountedNetwork{n.record.ID, &n.compiled.Exchanges})
		}
	}
	for _, g := range r.model.groups {
		if g.compiled != nil {
			c.Groups = append(c.Groups, g.compiled)
		}
	}
	return c
}
