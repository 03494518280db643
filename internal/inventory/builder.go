package inventory

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// The forms of ids and ARNs.
var (
	vpcID       = regexp.MustCompile(`^vpc-([0-9a-z]{8}|[0-9a-z]{17})$`)
	groupID     = regexp.MustCompile(`^sg-([0-9a-z]{8}|[0-9a-z]{17})$`)
	instanceID  = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)
	endpointID  = regexp.MustCompile(`^vpce-[0-9a-f]{17}$`)
	balancerARN = regexp.MustCompile(`^arn:[a-z0-9-]+:elasticloadbalancing:[a-z0-9-]+:\d{12}:loadbalancer/.+$`)
	functionARN = regexp.MustCompile(`^arn:[a-z0-9-]+:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+(:(\$LATEST|[a-zA-Z0-9_-]+))?$`)
	certARN     = regexp.MustCompile(`^arn:[a-z0-9-]+:acm:[a-z0-9-]+:\d{12}:certificate/.+$`)
	referenceID = regexp.MustCompile(`^(sn|rcfg)-[0-9a-z]{17}$`)
)

// instanceStates are EC2's (docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceState.html).
var instanceStates = []string{"pending", StateRunning, "shutting-down", "terminated", "stopping", "stopped"}

const dnsPort = 53

// builder makes a snapshot from a file, and notes what is wrong with the file.
type builder struct {
	snapshot *Snapshot
	// directory is the base of relative names. It is absolute.
	directory string
	readFile  func(name string) ([]byte, error)
	problems  []error
	at        string // the element that is being checked
}

func (b *builder) wrong(format string, args ...any) {
	b.problems = append(b.problems, fmt.Errorf("%s: %s", b.at, fmt.Sprintf(format, args...)))
}

// element notes which element is being checked, and checks its id or ARN, which must be unique.
func element[V any](b *builder, list string, i int, name, id string, form *regexp.Regexp, like string, seen map[string]V) {
	b.at = fmt.Sprintf("%s[%d]", list, i)
	if id != "" {
		b.at += " (" + id + ")"
	}
	_, twice := seen[id]
	switch {
	case id == "":
		b.wrong("%s is missing", name)
	case !form.MatchString(id):
		b.wrong("%s must be like %s", name, like)
	case twice:
		b.wrong("there is another element with this %s", name)
	}
}

func (b *builder) build(f *file) {
	b.buildVPCs(f)
	b.buildSecurityGroups(f)
	s := b.snapshot
	s.listsInstances, s.listsLoadBalancers = f.Instances != nil, f.LoadBalancers != nil
	for i, e := range f.Instances {
		element(b, "instances", i, "id", e.ID, instanceID, "i-0123456789abcdef0", s.instances)
		b.needVPC(e.VPC)
		instance := Instance{ID: e.ID, Address: b.address(e.Address), VPC: e.VPC, State: b.state(e.State), SecurityGroups: e.SecurityGroups}
		s.instances[e.ID] = instance
		b.needSecurityGroups(e.SecurityGroups)
		s.join(instance)
	}
	for i, e := range f.LoadBalancers {
		element(b, "loadBalancers", i, "arn", e.ARN, balancerARN, "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/web/0123456789abcdef", s.loadBalancers)
		if e.VPC != "" {
			b.needVPC(e.VPC)
		}
		s.loadBalancers[e.ARN] = LoadBalancer{ARN: e.ARN, Address: b.address(e.Address), VPC: e.VPC}
	}
	for i, e := range f.Functions {
		element(b, "functions", i, "arn", e.ARN, functionARN, "arn:aws:lambda:us-west-2:123456789012:function:orders", s.functions)
		s.functions[e.ARN] = b.function(e)
	}
	for i, e := range f.Certificates {
		element(b, "certificates", i, "arn", e.ARN, certARN, "arn:aws:acm:us-west-2:123456789012:certificate/12345678-1234-1234-1234-123456789012", s.certificates)
		s.certificates[e.ARN] = Certificate{ARN: e.ARN, TLS: b.certificate(e.Certificate, e.Key)}
	}
	b.buildDatabases(f)
	b.buildVPCEndpoints(f)
}

// buildVPCs refuses VPCs whose networks overlap, since a client's VPC is found by its address.
func (b *builder) buildVPCs(f *file) {
	s := b.snapshot
	for i, e := range f.VPCs {
		element(b, "vpcs", i, "id", e.ID, vpcID, "vpc-0123456789abcdef0", s.vpcs)
		if len(e.CIDRs) == 0 {
			b.wrong("cidrs is missing; it lists the networks of the VPC, such as 10.0.0.0/16")
		}
		vpc := VPC{ID: e.ID, DefaultSecurityGroup: e.DefaultSecurityGroup}
		if vpc.DefaultSecurityGroup != "" && !groupID.MatchString(vpc.DefaultSecurityGroup) {
			b.wrong("defaultSecurityGroup: %q must be like sg-0123456789abcdef0", vpc.DefaultSecurityGroup)
		}
		for _, text := range e.CIDRs {
			network, err := netip.ParsePrefix(text)
			if err != nil || network != network.Masked() {
				b.wrong("cidrs: %q must be a network, such as 10.0.0.0/16", text)
				continue
			}
			for _, other := range s.networks {
				if other.prefix.Overlaps(network) {
					b.wrong("cidrs: %s overlaps with %s of %s", network, other.prefix, other.vpc)
				}
			}
			vpc.CIDRs = append(vpc.CIDRs, network)
			s.networks = append(s.networks, vpcNetwork{network, e.ID})
		}
		for _, text := range e.DNSServers {
			server, err := netip.ParseAddrPort(text)
			if address, bare := netip.ParseAddr(text); bare == nil {
				server, err = netip.AddrPortFrom(address, dnsPort), nil
			}
			if err != nil {
				b.wrong("dnsServers: %q must be an IP address, with a port or without, such as 10.0.0.2", text)
				continue
			}
			vpc.DNSServers = append(vpc.DNSServers, server)
		}
		s.vpcs[e.ID] = vpc
	}
	slices.SortFunc(s.networks, func(a, b vpcNetwork) int { return a.prefix.Addr().Compare(b.prefix.Addr()) })
}

func (b *builder) needVPC(id string) {
	if id == "" {
		b.wrong("vpc is missing")
	} else if _, ok := b.snapshot.vpcs[id]; !ok {
		b.wrong("vpc: %s is not one of vpcs", id)
	}
}

// state reads the state of an instance.
func (b *builder) state(text string) string {
	text = cmp.Or(text, StateRunning)
	if !slices.Contains(instanceStates, text) {
		b.wrong("state: %q must be one of %s", text, strings.Join(instanceStates, ", "))
	}
	return text
}

func (b *builder) address(text string) netip.Addr {
	address, err := netip.ParseAddr(text)
	switch {
	case text == "":
		b.wrong("address is missing")
	case err != nil || address.Zone() != "" || address.IsUnspecified() || address.IsMulticast():
		b.wrong("address: %q must be the IP address of one machine", text)
	}
	return address.Unmap()
}

func (b *builder) certificate(certificate, key string) *tls.Certificate {
	read := func(member, name string) []byte {
		if name == "" {
			b.wrong("%s is missing; it names a PEM file", member)
			return nil
		}
		data, err := b.readFile(name)
		if err != nil {
			b.wrong("%s: %v", member, err)
		}
		return data
	}
	certificatePEM, keyPEM := read("certificate", certificate), read("key", key)
	if certificatePEM == nil || keyPEM == nil {
		return nil
	}
	pair, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		b.wrong("%s and %s: %v", certificate, key, err)
	}
	return &pair
}

// tunnel is the type of endpoints that lead to network segments.
const tunnel = "Tunnel"

func (b *builder) buildVPCEndpoints(f *file) {
	seen := map[string]bool{}
	type claim struct{ vpc, configuration string }
	private := map[claim]string{} // the endpoint that has the private names
	for i, e := range f.VPCEndpoints {
		element(b, "vpcEndpoints", i, "id", e.ID, endpointID, "vpce-0123456789abcdef0", seen)
		seen[e.ID] = true
		b.needVPC(e.VPC)
		if e.Owner != "" && !lattice.ValidAccount(e.Owner) {
			b.wrong("owner: %q must be an account, which has 12 digits", e.Owner)
		}
		b.needSecurityGroups(e.SecurityGroups)
		endpoint := VPCEndpoint{ID: e.ID, VPC: e.VPC, Owner: e.Owner, SecurityGroups: e.SecurityGroups, CreatedAt: b.time(e.CreatedAt),
			PrivateDNS: b.privateDNS(e.PrivateDNSEnabled, e.PrivateDNSPreference, e.PrivateDNSSpecifiedDomains)}
		switch e.Type {
		case "Resource", tunnel:
			endpoint.IsTunnel = e.Type == tunnel
			if endpoint.IsTunnel && endpoint.PrivateDNS != nil {
				b.wrong("privateDnsEnabled is not for endpoints of the type Tunnel, which have no private names")
			}
			endpoint.to = b.reference("resourceConfiguration", e.ResourceConfiguration, lattice.KindResourceConfiguration)
			if e.ServiceNetwork != "" {
				b.wrong("serviceNetwork is for endpoints of the type ServiceNetwork")
			}
			if endpoint.PrivateDNS != nil {
				names := claim{e.VPC, endpoint.to.id}
				if first, taken := private[names]; taken {
					b.wrong("privateDnsEnabled: clients in %s find the private names of %s by %s already; only one endpoint of a VPC can have them", e.VPC, endpoint.to.id, first)
				} else {
					private[names] = e.ID
				}
			}
			b.snapshot.resourceEndpoints[endpoint.to.id] = append(b.snapshot.resourceEndpoints[endpoint.to.id], endpoint)
		case "ServiceNetwork":
			endpoint.to = b.reference("serviceNetwork", e.ServiceNetwork, lattice.KindServiceNetwork)
			if e.ResourceConfiguration != "" {
				b.wrong("resourceConfiguration is for endpoints of the types Resource and Tunnel")
			}
			b.snapshot.networkEndpoints[endpoint.to.id] = append(b.snapshot.networkEndpoints[endpoint.to.id], endpoint)
		default:
			b.wrong("type is %q; it must be Resource, ServiceNetwork or Tunnel", e.Type)
		}
	}
	// Endpoints are in the order of their ids, whatever the order of the file.
	for _, lists := range []map[string][]VPCEndpoint{b.snapshot.resourceEndpoints, b.snapshot.networkEndpoints} {
		for _, list := range lists {
			slices.SortFunc(list, func(a, b VPCEndpoint) int { return strings.Compare(a.ID, b.ID) })
		}
	}
}

// privateDNS reads the DNS options of an endpoint, which are like those of VPC associations (API DnsOptions).
func (b *builder) privateDNS(enabled, preference string, domains []string) *PrivateDNS {
	on, err := strconv.ParseBool(cmp.Or(enabled, "false"))
	if err != nil {
		b.wrong("privateDnsEnabled: %q must be true or false", enabled)
	}
	p := shape.PrivateDnsPreference(cmp.Or(preference, string(shape.PrivateDnsPreferenceVerifiedDomainsOnly)))
	specifies := p == shape.PrivateDnsPreferenceVerifiedDomainsAndSpecifiedDomains || p == shape.PrivateDnsPreferenceSpecifiedDomainsOnly
	switch {
	case !on && (preference != "" || len(domains) > 0):
		b.wrong("privateDnsPreference and privateDnsSpecifiedDomains are for endpoints with privateDnsEnabled: true")
	case !slices.Contains([]shape.PrivateDnsPreference{shape.PrivateDnsPreferenceVerifiedDomainsOnly, shape.PrivateDnsPreferenceAllDomains,
		shape.PrivateDnsPreferenceVerifiedDomainsAndSpecifiedDomains, shape.PrivateDnsPreferenceSpecifiedDomainsOnly}, p):
		b.wrong("privateDnsPreference: %q must be one of VERIFIED_DOMAINS_ONLY, ALL_DOMAINS, VERIFIED_DOMAINS_AND_SPECIFIED_DOMAINS, SPECIFIED_DOMAINS_ONLY", preference)
	case specifies != (len(domains) > 0):
		b.wrong("privateDnsSpecifiedDomains belong to a privateDnsPreference that says SPECIFIED_DOMAINS, and to no other")
	}
	if !on {
		return nil
	}
	return &PrivateDNS{Preference: p, Domains: domains}
}

func (b *builder) time(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		b.wrong("createdAt: %q must be a time, such as 2026-01-31T12:00:00Z", text)
	}
	return t.UTC()
}

// reference reads the id or the ARN of the resource to which an endpoint leads.
func (b *builder) reference(member, text string, kind lattice.Kind) reference {
	if text == "" {
		b.wrong("%s is missing", member)
		return reference{}
	}
	id, scope := text, lattice.Scope{}
	if arn, ok := lattice.ParseARN(text); ok && arn.Kind == kind {
		id, scope = arn.ID(), arn.Scope
	}
	if of, _ := lattice.KindOfID(id); of != kind || !referenceID.MatchString(id) {
		b.wrong("%s: %q must be an id or an ARN of a %s", member, text, kind)
	}
	return reference{id, scope}
}
