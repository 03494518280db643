package control

import (
	"context"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// ListServiceNetworkVpcEndpointAssociations lists the VPC endpoints that lead to a service network, in the order of
// their ids. They are created and deleted in the inventory, so there is no record of them here.
func (c *Control) ListServiceNetworkVpcEndpointAssociations(_ context.Context, caller api.Caller, in *shape.ListServiceNetworkVpcEndpointAssociationsRequest) (*shape.ListServiceNetworkVpcEndpointAssociationsResponse, error) {
	networkID, err := filterID(caller, lattice.KindServiceNetwork, in.ServiceNetworkIdentifier)
	if err != nil {
		return nil, err
	}
	key := lattice.ServiceNetworkKey(caller.Scope(), networkID)
	q := query{
		Operation: "ListServiceNetworkVpcEndpointAssociations",
		Index:     lattice.By("vpcendpoint", key.Scope, "servicenetwork", networkID),
		NextToken: in.NextToken,
	}
	after, err := q.cursor()
	if err != nil {
		return nil, err
	}
	size := defaultPageSize
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	out := &shape.ListServiceNetworkVpcEndpointAssociationsResponse{Items: []shape.ServiceNetworkEndpointAssociation{}}
	err = c.read(func(v catalog.View) error {
		n, ok := catalog.Get[*lattice.ServiceNetwork](v, key)
		if !ok {
			return nil // What does not exist has an empty list.
		}
		for _, e := range c.inventory().ServiceNetworkEndpoints(key) {
			if e.ID <= after.Key {
				continue
			}
			if len(out.Items) == size {
				out.NextToken = ptr(q.token(catalog.Cursor{Key: *out.Items[size-1].VpcEndpointId}))
				break
			}
			item := shape.ServiceNetworkEndpointAssociation{
				Id:                 ptr("vpce-sn-asc-" + strings.TrimPrefix(e.ID, "vpce-")),
				ServiceNetworkArn:  ptr(n.ARN()),
				State:              ptr(lattice.StatusActive),
				VpcEndpointId:      ptr(e.ID),
				VpcEndpointOwnerId: ptr(e.Owner),
				VpcId:              ptr(e.VPC),
			}
			if !e.CreatedAt.IsZero() {
				item.CreatedAt = shape.NewTime(e.CreatedAt)
			}
			out.Items = append(out.Items, item)
		}
		return nil
	})
	return out, err
}
