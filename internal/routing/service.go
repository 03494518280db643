package routing

import (
	"sync/atomic"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

// Service is a service as it answers on one port to requests through one service network: one of its listeners, compiled. It
// is immutable; a change makes a new one.
type Service struct {
	ARN  string
	ID   string
	Name string
	// DomainName is the generated host name; CustomDomainName is empty when there is none.
	DomainName       string
	CustomDomainName string
	CertificateARN   string
	Region           string
	IdleTimeout      time.Duration

	// NetworkARN and Network are the service network through which the requests come.
	NetworkARN string
	Network    *Network

	ListenerARN string
	ListenerID  string
	Protocol    shape.ListenerProtocol
	Port        int

	// Exchanges counts the exchanges of the service, on all ports and through all networks. It outlives recompilations.
	Exchanges *tally.Exchanges

	logs  []*lattice.AccessLogSubscription
	guard policy.Guard
	tags  map[string]string
	// port is Port as a text.
	port string

	rules    []*Rule // by priority, without the default rule
	fallback *Rule
	origin   *lattice.Base
	// next is the same service through the network of the next association.
	next *Service
}

// Route returns the first rule that matches, or the default rule. On a TLS_PASSTHROUGH listener there is only the
// default rule, and the request may be nil.
func (s *Service) Route(r *Request) *Rule {
	for _, rule := range s.rules {
		if rule.match.test(r) == matched {
			return rule
		}
	}
	return s.fallback
}

// Network is a service network. It outlives recompilations.
type Network struct {
	ARN string
	// Exchanges counts those that came through the network.
	Exchanges tally.Exchanges

	source atomic.Pointer[Source]
	guard  atomic.Pointer[policy.Guard]
}

// Source returns the VPC to which requests are attributed when the inventory has no VPCs: that of the network's first VPC
// association. It is never nil.
func (n *Network) Source() *Source { return n.source.Load() }

// Source is the VPC from which requests come.
type Source struct {
	// VpcID, VpcARN and Account, which owns the VPC, are empty when the network is associated with no VPC.
	VpcID, VpcARN, Account string
	// LatticeNetwork and SourceVpc are the values of x-amzn-lattice-network and x-amzn-source-vpc; the latter is empty when
	// there is none. They must not be changed.
	LatticeNetwork, SourceVpc []byte
}

func newSource(region, account, vpcID string) *Source {
	arn := "arn:aws:ec2:" + region + ":" + account + ":vpc/" + vpcID
	return &Source{
		VpcID: vpcID, VpcARN: arn, Account: account,
		LatticeNetwork: headerValue("SourceVpcArn=", arn), SourceVpc: headerValue(vpcID),
	}
}

// Rule is a compiled rule. It is immutable except for the turns of its target groups.
type Rule struct {
	ID  string
	ARN string
	// Name is empty for a default rule, which has none.
	Name      string
	Priority  int
	IsDefault bool
	// FixedStatus is the status of a fixed response, or 0 when the rule forwards.
	FixedStatus int
	// Exchanges counts those that the rule matched, through all networks. It outlives recompilations.
	Exchanges *tally.Exchanges

	match    match
	forwards []*Forward
	schedule *schedule
}

// Path returns the rule's condition on paths: a path, or the beginning of one with an asterisk. It is empty if the rule does
// not look at the path.
func (r *Rule) Path() string {
	switch r.match.path.form {
	case formExact:
		return r.match.path.text
	case formPrefix:
		return r.match.path.text + "*"
	}
	return ""
}

// Choose returns the next target group by weight. It is nil when the rule has a fixed response (FixedStatus) or when no
// target group has a weight. It does not matter whether the target group has a target: there is no failover from
// one group to another.
func (r *Rule) Choose() *Forward {
	if r.schedule == nil {
		return nil
	}
	return r.forwards[r.schedule.next()]
}

// Forward is a target group as one service uses it.
type Forward struct {
	TargetGroup *TargetGroup
	// LatticeTarget is the value of x-amzn-lattice-target. It must not be changed.
	LatticeTarget []byte
}
