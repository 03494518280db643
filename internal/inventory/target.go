package inventory

import (
	"errors"
	"fmt"
	"net/netip"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// machine is an inventory's entry for a target that is registered by its id or ARN.
type machine struct {
	kind    string
	address netip.Addr
	vpc     string // empty if it is not known
	listed  bool   // the inventory has a list of such machines
	known   bool   // this machine is on the list
	problem string // why it gets no traffic
}

func (s *Snapshot) machine(groupType shape.TargetGroupType, id string) (m machine, ok bool) {
	if s == nil {
		s = &Snapshot{}
	}
	switch groupType {
	case shape.TargetGroupTypeInstance:
		instance, known := s.instances[id]
		m = machine{kind: "instance", address: instance.Address, vpc: instance.VPC, listed: s.listsInstances, known: known}
		if known && instance.State != StateRunning {
			m.problem = fmt.Sprintf("instance %s is %s; targets must be running", id, instance.State)
		}
	case shape.TargetGroupTypeAlb:
		balancer, known := s.loadBalancers[id]
		m = machine{kind: "load balancer", address: balancer.Address, vpc: balancer.VPC, listed: s.listsLoadBalancers, known: known, problem: balancer.Problem}
	default:
		return machine{}, false
	}
	if !m.known {
		m.problem = fmt.Sprintf("the inventory (--inventory, --inventory-from) has no %s %s", m.kind, id)
	}
	return m, true
}

// Locate returns the address of a target. It returns ok false for a target of a type that is not in an inventory. The error says
// why the target gets no traffic.
func (s *Snapshot) Locate(groupType shape.TargetGroupType, id string) (address netip.Addr, ok bool, err error) {
	m, ok := s.machine(groupType, id)
	if m.problem != "" {
		return netip.Addr{}, ok, errors.New(m.problem)
	}
	return m.address, ok, nil
}

// TargetProblem returns why an id or ARN cannot be registered as a target of a group, or "" if it can. A target of a kind that
// the inventory does not list is admitted.
func (s *Snapshot) TargetProblem(group *lattice.TargetGroup, id string) string {
	m, ok := s.machine(group.Type, id)
	switch {
	case !ok || !m.listed:
		return ""
	case m.problem != "":
		return m.problem
	case m.vpc == "" || group.Config == nil || group.Config.VpcIdentifier == nil || m.vpc == *group.Config.VpcIdentifier:
		return ""
	case group.Type == shape.TargetGroupTypeInstance: // AWS's words (CLI register-targets).
		return "Instance targets must be in the same VPC as their target group"
	default:
		return "The load balancer must be in the same VPC as the target group"
	}
}
