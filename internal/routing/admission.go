package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"trellis/internal/inventory"
)

// Admission is what security groups say about addresses: of clients before VPC associations and VPC endpoints, of targets
// behind resource gateways. It is immutable. A nil one admits all.
type Admission struct {
	groups  []string
	unknown []string // the groups that are not in the inventory
	rules   []admissionRule
}

// admissionRule admits the addresses in its networks, and those that it lists, at a range of ports.
type admissionRule struct {
	firstPort, lastPort int
	networks            []netip.Prefix
	members             []netip.Addr // in order
}

// newIngress returns what the security groups with the given ids admit together. It admits everybody if there are no ids,
// or if the inventory lists no security groups. A group that is missing from the inventory's list admits nobody.
func newIngress(snapshot *inventory.Snapshot, groups []string) *Admission {
	return admissionBy(snapshot, groups, func(group inventory.SecurityGroup) []inventory.SecurityGroupRule { return group.Ingress })
}

// newEgress returns to which targets, and which of their ports, the members of the security groups with the given ids may connect.
// A group without egress rules lets them connect to all, as new groups do at EC2; otherwise it is as with newIngress.
func newEgress(snapshot *inventory.Snapshot, groups []string) *Admission {
	for _, id := range groups {
		if group, ok := snapshot.SecurityGroup(id); ok && !group.HasEgress {
			return nil
		}
	}
	return admissionBy(snapshot, groups, func(group inventory.SecurityGroup) []inventory.SecurityGroupRule { return group.Egress })
}

func admissionBy(snapshot *inventory.Snapshot, groups []string, rules func(inventory.SecurityGroup) []inventory.SecurityGroupRule) *Admission {
	if len(groups) == 0 || !snapshot.FiltersClients() {
		return nil
	}
	a := &Admission{groups: groups}
	for _, id := range groups {
		group, ok := snapshot.SecurityGroup(id)
		if !ok {
			a.unknown = append(a.unknown, id)
		}
		a.add(snapshot, rules(group))
	}
	return a
}

func (a *Admission) add(snapshot *inventory.Snapshot, rules []inventory.SecurityGroupRule) {
	for _, from := range rules {
		rule := admissionRule{firstPort: from.FirstPort, lastPort: from.LastPort, networks: from.Networks}
		for _, group := range from.Groups {
			rule.members = append(rule.members, snapshot.Members(group)...)
		}
		slices.SortFunc(rule.members, netip.Addr.Compare)
		a.rules = append(a.rules, rule)
	}
}

// Admits reports whether a client may connect to a listener's port. It allocates nothing.
func (a *Admission) Admits(client netip.Addr, port int) bool {
	if a == nil {
		return true
	}
	client = client.Unmap()
	for i := range a.rules {
		if rule := &a.rules[i]; rule.firstPort <= port && port <= rule.lastPort && rule.has(client) {
			return true
		}
	}
	return false
}

func (r *admissionRule) has(client netip.Addr) bool {
	for _, network := range r.networks {
		if network.Contains(client) {
			return true
		}
	}
	_, ok := slices.BinarySearchFunc(r.members, client, netip.Addr.Compare)
	return ok
}

// why returns why a client is not admitted.
func (a *Admission) why(client netip.Addr, port int) string {
	text := fmt.Sprintf("no rule of %s admits %s to port %d", strings.Join(a.groups, ", "), client.Unmap(), port)
	if len(a.unknown) > 0 {
		text += "; the inventory has no security group " + strings.Join(a.unknown, ", ")
	}
	return text
}
