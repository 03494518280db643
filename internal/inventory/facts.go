package inventory

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Facts are what a source knows. They must not be changed once the source has returned them.
type Facts struct {
	VPCs           []VPC
	SecurityGroups []SecurityGroup
	Instances      []Instance
	LoadBalancers  []LoadBalancer
	Functions      []Function
	Certificates   []Certificate
	// ListsInstances and ListsLoadBalancers say that these lists are complete.
	ListsInstances, ListsLoadBalancers bool
}

// with returns a snapshot that also has what sources know. If two know the same thing, the first one counts, and the file comes
// before all of them. The problems name the facts that could not be used.
func (s *Snapshot) with(all []*Facts) (_ *Snapshot, problems []string) {
	sum := *s
	sum.vpcs, sum.securityGroups, sum.members = maps.Clone(s.vpcs), maps.Clone(s.securityGroups), maps.Clone(s.members)
	sum.instances, sum.loadBalancers = maps.Clone(s.instances), maps.Clone(s.loadBalancers)
	sum.functions, sum.certificates = maps.Clone(s.functions), maps.Clone(s.certificates)
	sum.networks = slices.Clone(s.networks)
	for _, f := range all {
		sum.listsInstances = sum.listsInstances || f.ListsInstances
		sum.listsLoadBalancers = sum.listsLoadBalancers || f.ListsLoadBalancers
		for _, vpc := range f.VPCs {
			if addNew(sum.vpcs, vpc.ID, vpc) {
				problems = append(problems, sum.addNetworks(vpc)...)
			}
		}
		for _, group := range f.SecurityGroups {
			addNew(sum.securityGroups, group.ID, group)
		}
		for _, instance := range f.Instances {
			if addNew(sum.instances, instance.ID, instance) {
				sum.join(instance)
			}
		}
		for _, balancer := range f.LoadBalancers {
			addNew(sum.loadBalancers, balancer.ARN, balancer)
		}
		for _, function := range f.Functions {
			addNew(sum.functions, function.ARN, function)
		}
		for _, certificate := range f.Certificates {
			addNew(sum.certificates, certificate.ARN, certificate)
		}
	}
	slices.SortFunc(sum.networks, func(a, b vpcNetwork) int { return a.prefix.Addr().Compare(b.prefix.Addr()) })
	return &sum, problems
}

// addNew adds a value if its key is not there yet, and reports whether it did.
func addNew[V any](to map[string]V, key string, value V) bool {
	if _, known := to[key]; known {
		return false
	}
	to[key] = value
	return true
}

// addNetworks adds the networks of a VPC. A network that overlaps with another is left out, since a client's address would not
// tell which of the two it is in. At AWS, VPCs may overlap, and the default VPCs of all Regions do.
func (s *Snapshot) addNetworks(vpc VPC) (problems []string) {
	for _, network := range vpc.CIDRs {
		i := slices.IndexFunc(s.networks, func(other vpcNetwork) bool { return other.prefix.Overlaps(network) })
		if i >= 0 {
			problems = append(problems, fmt.Sprintf("%s of %s overlaps with %s of %s; clients there are taken for clients of the latter",
				network, vpc.ID, s.networks[i].prefix, s.networks[i].vpc))
			continue
		}
		s.networks = append(s.networks, vpcNetwork{network, vpc.ID})
	}
	return problems
}

// join makes an instance a member of its security groups.
func (s *Snapshot) join(instance Instance) {
	if instance.Address == (netip.Addr{}) { // The instance has been terminated.
		return
	}
	for _, group := range instance.SecurityGroups {
		s.members[group] = append(slices.Clip(s.members[group]), instance.Address)
	}
}
