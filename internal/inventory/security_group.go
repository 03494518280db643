package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// SecurityGroup says which clients may connect to its members, and to whom its members may connect.
type SecurityGroup struct {
	ID      string
	Ingress []SecurityGroupRule
	// Egress admits everything if HasEgress is false, as EC2 does with a new group.
	Egress    []SecurityGroupRule
	HasEgress bool
}

// SecurityGroupRule admits the addresses in its networks and the members of its groups, at a range of ports.
type SecurityGroupRule struct {
	FirstPort, LastPort int
	Networks            []netip.Prefix
	Groups              []string
}

// FiltersClients reports whether there are security groups. If there are none, those that associations name filter nobody.
func (s *Snapshot) FiltersClients() bool { return s != nil && len(s.securityGroups) > 0 }

// SecurityGroup returns a security group.
func (s *Snapshot) SecurityGroup(id string) (SecurityGroup, bool) {
	if s == nil {
		return SecurityGroup{}, false
	}
	group, ok := s.securityGroups[id]
	return group, ok
}

// Members returns the addresses of the instances in a security group, in order.
func (s *Snapshot) Members(group string) []netip.Addr {
	if s == nil {
		return nil
	}
	return slices.SortedFunc(slices.Values(s.members[group]), netip.Addr.Compare)
}

func (b *builder) buildSecurityGroups(f *file) {
	s := b.snapshot
	for i, e := range f.SecurityGroups {
		element(b, "securityGroups", i, "id", e.ID, groupID, "sg-0123456789abcdef0", s.securityGroups)
		group := SecurityGroup{ID: e.ID, HasEgress: e.Egress != nil}
		at := b.at
		for j, rule := range e.Ingress {
			b.at = fmt.Sprintf("%s.ingress[%d]", at, j)
			group.Ingress = append(group.Ingress, b.rule(rule))
		}
		for j, rule := range e.Egress {
			b.at = fmt.Sprintf("%s.egress[%d]", at, j)
			group.Egress = append(group.Egress, b.rule(rule))
		}
		s.securityGroups[e.ID] = group
	}
	for i, e := range f.SecurityGroups { // They may name each other.
		for j, rule := range e.Ingress {
			b.at = fmt.Sprintf("securityGroups[%d] (%s).ingress[%d]", i, e.ID, j)
			b.needSecurityGroups(rule.SecurityGroups)
		}
		for j, rule := range e.Egress {
			b.at = fmt.Sprintf("securityGroups[%d] (%s).egress[%d]", i, e.ID, j)
			b.needSecurityGroups(rule.SecurityGroups)
		}
	}
}

func (b *builder) rule(e ruleEntry) SecurityGroupRule {
	rule := SecurityGroupRule{FirstPort: 1, LastPort: 65535, Groups: e.SecurityGroups}
	if e.Ports != "" {
		first, last, isRange := strings.Cut(e.Ports, "-")
		if !isRange {
			last = first
		}
		rule.FirstPort, rule.LastPort = b.port(e.Ports, first), b.port(e.Ports, last)
		if rule.FirstPort > rule.LastPort {
			b.wrong("ports: %q ends before it begins", e.Ports)
		}
	}
	if len(e.CIDRs) == 0 && len(e.SecurityGroups) == 0 {
		b.wrong("cidrs and securityGroups are missing: networks such as 10.0.0.0/16, or the groups whose members are admitted")
	}
	for _, text := range e.CIDRs {
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			b.wrong("cidrs: %q must be a network, such as 10.0.0.0/16", text)
			continue
		}
		rule.Networks = append(rule.Networks, network)
	}
	return rule
}

func (b *builder) port(ports, text string) int {
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		b.wrong("ports: %q must be a port or a range, such as 80 or 8000-8999", ports)
	}
	return port
}

// needSecurityGroups refuses groups that are not in the file.
func (b *builder) needSecurityGroups(ids []string) {
	for _, id := range ids {
		if _, ok := b.snapshot.securityGroups[id]; !ok {
			b.wrong("securityGroups: %s is not one of securityGroups", id)
		}
	}
}
