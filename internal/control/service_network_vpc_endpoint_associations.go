package control

import (
	"context"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/inventory"
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
	q := newQuery("ListServiceNetworkVpcEndpointAssociations", lattice.By("vpcendpoint", key.Scope, "servicenetwork", networkID), in.MaxResults, in.NextToken)
	return read(c, func(v catalog.View) (*shape.ListServiceNetworkVpcEndpointAssociationsResponse, error) {
		n, ok := catalog.Get[*lattice.ServiceNetwork](v, key)
		list := func(after catalog.Cursor, yield func(inventory.VPCEndpoint, catalog.Cursor) bool) {
			if !ok {
				return // What does not exist has an empty list.
			}
			for _, e := range c.inventory().ServiceNetworkEndpoints(key) {
				if e.ID > after.Key && !yield(e, catalog.Cursor{Key: e.ID}) {
					return
				}
			}
		}
		items, next, err := pageOf(q, list, func(e inventory.VPCEndpoint) (shape.ServiceNetworkEndpointAssociation, bool) {
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
			return item, true
		})
		return &shape.ListServiceNetworkVpcEndpointAssociationsResponse{Items: items, NextToken: next}, err
	})
}
