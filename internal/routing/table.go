package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"trellis/internal/shape"
)

// Table has all compiled routes in a readable form, for the admin port and for golden files.
type Table struct {
	Ports        []PortTable        `json:"ports"`
	TargetGroups []TargetGroupTable `json:"targetGroups"`
}

// PortTable is what answers on a port.
type PortTable struct {
	Number int `json:"number"`
	// Hosts are by name.
	Hosts []HostTable `json:"hosts"`
	// Services are by listener ARN.
	Services []ServiceTable `json:"services"`
}

// HostTable is a host name, the ARN of the listener that answers to it, and those of the listeners that would if older
// services did not.
type HostTable struct {
	Name     string   `json:"name"`
	Listener string   `json:"listener"`
	Shadowed []string `json:"shadowed,omitempty"`
}

// ServiceTable is a compiled service.
type ServiceTable struct {
	Listener string                 `json:"listener"`
	Protocol shape.ListenerProtocol `json:"protocol"`
	// Networks are those through which requests come, in order of association. The rest is as in the first.
	Networks           []string    `json:"networks"`
	LatticeNetwork     string      `json:"latticeNetwork"`
	IdleTimeoutSeconds int         `json:"idleTimeoutSeconds"`
	Rules              []RuleTable `json:"rules"`
}

// RuleTable is a compiled rule.
type RuleTable struct {
	ID       string         `json:"id"`
	Priority int            `json:"priority"`
	If       string         `json:"if"`
	Fixed    int            `json:"fixedStatus,omitempty"`
	Forward  []ForwardTable `json:"forward,omitempty"`
	// Turns are the indexes of the forwards in the order of one round. It is cut after 32.
	Turns string `json:"turns,omitempty"`
}

// ForwardTable is a weighted target group.
type ForwardTable struct {
	TargetGroup   string `json:"targetGroup"`
	Weight        int    `json:"weight"`
	LatticeTarget string `json:"latticeTarget"`
}

// TargetGroupTable is a target group that is or was in use.
type TargetGroupTable struct {
	ID       string              `json:"id"`
	Protocol string              `json:"protocol"`
	InUse    bool                `json:"inUse"`
	FailOpen bool                `json:"failOpen,omitempty"`
	Targets  []TargetExplanation `json:"targets"`
}

// Table returns all compiled routes.
func (r *Router) Table() Table {
	table := Table{Ports: []PortTable{}, TargetGroups: []TargetGroupTable{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.sortedPorts() {
		table.Ports = append(table.Ports, p.table())
	}
	for _, g := range r.model.groups {
		if g.compiled == nil {
			continue
		}
		e := r.explainTargetGroup(g)
		table.TargetGroups = append(table.TargetGroups, TargetGroupTable{
			ID:       g.ref.id,
			Protocol: strings.TrimSpace(string(g.compiled.Protocol) + " " + string(g.compiled.ProtocolVersion)),
			InUse:    g.inUse,
			FailOpen: e.FailOpen,
			Targets:  e.Targets,
		})
	}
	slices.SortFunc(table.TargetGroups, func(a, b TargetGroupTable) int { return strings.Compare(a.ID, b.ID) })
	return table
}

func (p *Port) table() PortTable {
	table := PortTable{Number: p.Number}
	services := map[string]*Service{}
	for name, e := range p.entries.all() {
		host := HostTable{Name: name, Listener: e.service.Load().ListenerARN}
		for i, l := range e.claims {
			services[l.compiled.ListenerARN] = l.compiled
			if i > 0 {
				host.Shadowed = append(host.Shadowed, l.compiled.ListenerARN)
			}
		}
		table.Hosts = append(table.Hosts, host)
	}
	slices.SortFunc(table.Hosts, func(a, b HostTable) int { return strings.Compare(a.Name, b.Name) })
	for _, arn := range slices.Sorted(maps.Keys(services)) {
		table.Services = append(table.Services, services[arn].table())
	}
	return table
}

func (s *Service) table() ServiceTable {
	table := ServiceTable{
		Listener:           s.ListenerARN,
		Protocol:           s.Protocol,
		LatticeNetwork:     string(s.Network.Source().LatticeNetwork),
		IdleTimeoutSeconds: int(s.IdleTimeout.Seconds()),
	}
	for through := s; through != nil; through = through.next {
		table.Networks = append(table.Networks, through.NetworkARN)
	}
	for _, rule := range s.rules {
		table.Rules = append(table.Rules, rule.table())
	}
	table.Rules = append(table.Rules, s.fallback.table())
	return table
}

func (r *Rule) table() RuleTable {
	table := RuleTable{ID: r.ID, Priority: r.Priority, If: r.match.String(), Fixed: r.FixedStatus}
	for i, forward := range r.forwards {
		f := ForwardTable{TargetGroup: forward.TargetGroup.ID, LatticeTarget: string(forward.LatticeTarget)}
		if r.schedule != nil {
			f.Weight = r.schedule.weights[i]
		}
		table.Forward = append(table.Forward, f)
	}
	if r.schedule != nil {
		for _, index := range r.schedule.turns[:min(32, len(r.schedule.turns))] {
			table.Turns += fmt.Sprint(index)
		}
	}
	return table
}
