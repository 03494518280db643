package amazon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"trellis/internal/inventory"
)

// newLoadBalancers reads the active Application Load Balancers, and looks up their addresses, since AWS gives a name of each.
func newLoadBalancers(cfg aws.Config, lookup func(ctx context.Context, name string) ([]netip.Addr, error)) read {
	client := elb.NewFromConfig(cfg)
	known := map[string]netip.Addr{} // by name
	return func(ctx context.Context) (*inventory.Facts, error) {
		facts := &inventory.Facts{ListsLoadBalancers: true}
		found := map[string]netip.Addr{}
		for pages := elb.NewDescribeLoadBalancersPaginator(client, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(400)}); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			for _, b := range page.LoadBalancers {
				if b.Type != types.LoadBalancerTypeEnumApplication || !works(b.State) {
					continue
				}
				balancer := inventory.LoadBalancer{ARN: aws.ToString(b.LoadBalancerArn), VPC: aws.ToString(b.VpcId)}
				name := aws.ToString(b.DNSName)
				addresses, err := lookup(ctx, name)
				balancer.Address = choose(addresses, known[name])
				if !balancer.Address.IsValid() {
					balancer.Problem = fmt.Sprintf("the name %s of the load balancer has no address", name)
					if err != nil {
						balancer.Problem += ": " + err.Error()
					}
				} else {
					found[name] = balancer.Address
				}
				facts.LoadBalancers = append(facts.LoadBalancers, balancer)
			}
		}
		known = found
		slices.SortFunc(facts.LoadBalancers, func(a, b inventory.LoadBalancer) int { return strings.Compare(a.ARN, b.ARN) })
		return facts, nil
	}
}

func works(state *types.LoadBalancerState) bool {
	return state != nil && (state.Code == types.LoadBalancerStateEnumActive || state.Code == types.LoadBalancerStateEnumActiveImpaired)
}

// choose chooses one of the addresses of a name: the previous choice, so that connections stay, or otherwise the first, IPv4
// before IPv6. If the name has none now, the address stays what it was.
func choose(addresses []netip.Addr, before netip.Addr) netip.Addr {
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	if len(addresses) == 0 || slices.Contains(addresses, before) {
		return before
	}
	return slices.MinFunc(addresses, netip.Addr.Compare)
}
