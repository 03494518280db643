package amazon

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"trellis/internal/inventory"
)

// These are the members of EC2's responses that the inventory uses
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Operations.html).
type (
	vpcsPage struct {
		nextToken
		VPCs []struct {
			ID   string     `xml:"vpcId"`
			IPv4 []ec2Block `xml:"cidrBlockAssociationSet>item"`
			IPv6 []ec2Block `xml:"ipv6CidrBlockAssociationSet>item"`
		} `xml:"vpcSet>item"`
	}
	ec2Block struct {
		IPv4      string `xml:"cidrBlock"`
		IPv4State string `xml:"cidrBlockState>state"`
		IPv6      string `xml:"ipv6CidrBlock"`
		IPv6State string `xml:"ipv6CidrBlockState>state"`
	}
	securityGroupsPage struct {
		nextToken
		Groups []ec2SecurityGroup `xml:"securityGroupInfo>item"`
	}
	ec2SecurityGroup struct {
		ID      string          `xml:"groupId"`
		Name    string          `xml:"groupName"`
		VPC     string          `xml:"vpcId"`
		Ingress []ec2Permission `xml:"ipPermissions>item"`
		Egress  []ec2Permission `xml:"ipPermissionsEgress>item"`
	}
	ec2Permission struct {
		Protocol  string   `xml:"ipProtocol"`
		FirstPort int      `xml:"fromPort"`
		LastPort  int      `xml:"toPort"`
		IPv4      []string `xml:"ipRanges>item>cidrIp"`
		IPv6      []string `xml:"ipv6Ranges>item>cidrIpv6"`
		Groups    []string `xml:"groups>item>groupId"`
	}
	instancesPage struct {
		nextToken
		Instances []ec2Instance `xml:"reservationSet>item>instancesSet>item"`
	}
	ec2Instance struct {
		ID     string   `xml:"instanceId"`
		State  string   `xml:"instanceState>name"`
		VPC    string   `xml:"vpcId"`
		IPv4   string   `xml:"privateIpAddress"`
		IPv6   string   `xml:"ipv6Address"`
		Groups []string `xml:"groupSet>item>groupId"`
	}
	nextToken struct {
		Token string `xml:"nextToken"`
	}
)

func (t nextToken) token() string { return t.Token }

// newEC2 reads VPCs, security groups and instances.
func newEC2(cfg aws.Config) read {
	client := newEC2Client(cfg)
	return func(ctx context.Context) (*inventory.Facts, error) {
		facts := &inventory.Facts{ListsInstances: true}
		defaultGroups := map[string]string{} // by VPC
		err := pages(ctx, client, "DescribeSecurityGroups", func() *securityGroupsPage { return new(securityGroupsPage) }, func(page *securityGroupsPage) {
			for _, group := range page.Groups {
				facts.SecurityGroups = append(facts.SecurityGroups, group.facts())
				if group.Name == "default" {
					defaultGroups[group.VPC] = group.ID
				}
			}
		})
		if err != nil {
			return nil, err
		}
		err = pages(ctx, client, "DescribeVpcs", func() *vpcsPage { return new(vpcsPage) }, func(page *vpcsPage) {
			for _, vpc := range page.VPCs {
				facts.VPCs = append(facts.VPCs, inventory.VPC{ID: vpc.ID, CIDRs: networks(append(vpc.IPv4, vpc.IPv6...)), DefaultSecurityGroup: defaultGroups[vpc.ID]})
			}
		})
		if err != nil {
			return nil, err
		}
		err = pages(ctx, client, "DescribeInstances", func() *instancesPage { return new(instancesPage) }, func(page *instancesPage) {
			for _, instance := range page.Instances {
				facts.Instances = append(facts.Instances, instance.facts())
			}
		})
		if err != nil {
			return nil, err
		}
		// Sorted, so that a different order of the response is not a change.
		slices.SortFunc(facts.SecurityGroups, func(a, b inventory.SecurityGroup) int { return strings.Compare(a.ID, b.ID) })
		slices.SortFunc(facts.VPCs, func(a, b inventory.VPC) int { return strings.Compare(a.ID, b.ID) })
		slices.SortFunc(facts.Instances, func(a, b inventory.Instance) int { return strings.Compare(a.ID, b.ID) })
		return facts, nil
	}
}

// networks returns the networks that are associated with a VPC now.
func networks(blocks []ec2Block) (list []netip.Prefix) {
	for _, block := range blocks {
		if block.IPv4State+block.IPv6State == "associated" {
			list = appendNetwork(list, block.IPv4+block.IPv6)
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return list
}

func appendNetwork(list []netip.Prefix, text string) []netip.Prefix {
	network, err := netip.ParsePrefix(text)
	if err != nil { // AWS writes these networks, so an error would help nobody.
		return list
	}
	return append(list, network.Masked())
}

func (g *ec2SecurityGroup) facts() inventory.SecurityGroup {
	return inventory.SecurityGroup{ID: g.ID, Ingress: rules(g.Ingress), Egress: rules(g.Egress), HasEgress: true}
}

// rules returns the rules for TCP that name networks and groups. It leaves out what prefix lists admit, which another call would
// have to read.
func rules(permissions []ec2Permission) (list []inventory.SecurityGroupRule) {
	for _, permission := range permissions {
		rule := inventory.SecurityGroupRule{FirstPort: 1, LastPort: 65535, Groups: permission.Groups}
		switch permission.Protocol {
		case "-1": // all protocols, all ports
		case "tcp", "6":
			rule.FirstPort, rule.LastPort = permission.FirstPort, permission.LastPort
		default:
			continue
		}
		for _, source := range append(permission.IPv4, permission.IPv6...) {
			rule.Networks = appendNetwork(rule.Networks, source)
		}
		if len(rule.Networks)+len(rule.Groups) > 0 {
			list = append(list, rule)
		}
	}
	return list
}

func (i *ec2Instance) facts() inventory.Instance {
	m := inventory.Instance{ID: i.ID, VPC: i.VPC, State: i.State, SecurityGroups: i.Groups}
	slices.Sort(m.SecurityGroups)
	address, err := netip.ParseAddr(i.IPv4)
	if err != nil {
		address, err = netip.ParseAddr(i.IPv6)
	}
	if err == nil {
		m.Address = address.Unmap()
	} else if m.State == inventory.StateRunning { // The instance is about to get an address.
		m.State = "pending"
	}
	return m
}
