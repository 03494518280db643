package control

import (
	"context"
	"slices"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
)

// Inventory tells what other services of AWS would know: which VPC endpoints there are, and what can be a target.
type Inventory interface {
	// Current returns the present inventory. Nil means an empty one.
	Current() *inventory.Snapshot
}

// endpointsAtOnce is how many associations of endpoints one transaction deletes, or gives addresses to.
const endpointsAtOnce = 50

func (c *Control) inventory() *inventory.Snapshot {
	if c.Inventory == nil {
		return nil
	}
	return c.Inventory.Current()
}

// attachedEndpoints returns the VPC endpoints that lead to a resource configuration, or to its group, and have not been detached
// from it.
func (c *Control) attachedEndpoints(v catalog.View, r *lattice.ResourceConfiguration) []inventory.VPCEndpoint {
	return slices.DeleteFunc(c.inventory().EndpointsTo(r), func(e inventory.VPCEndpoint) bool {
		_, detached := v.Get(lattice.DetachedEndpointKey(r.Scope, r.ID, e.ID))
		if !detached && r.GroupID != "" {
			_, detached = v.Get(lattice.DetachedEndpointKey(r.Scope, r.GroupID, e.ID))
		}
		return detached
	})
}

// attachEndpoints makes records of the associations of a resource configuration that have none yet. Each is written by
// itself, so that lists have them in the order of their endpoints.
func (c *Control) attachEndpoints(ctx context.Context, key lattice.Key) error {
	var missing []inventory.VPCEndpoint
	err := c.read(func(v catalog.View) error {
		missing = c.unattached(v, key)
		return nil
	})
	for _, e := range missing {
		err = c.commit(ctx, func(tx *catalog.Tx) error {
			// Another node, or another request, may have been faster.
			if !slices.ContainsFunc(c.unattached(tx, key), func(other inventory.VPCEndpoint) bool { return other.ID == e.ID }) {
				return nil
			}
			return c.attach(tx, key, e)
		})
		if err != nil {
			return err
		}
	}
	return err
}

// attach makes the record of the association of a resource configuration with an endpoint.
func (c *Control) attach(tx *catalog.Tx, key lattice.Key, e inventory.VPCEndpoint) (err error) {
	a := c.newEndpointAssociation(key, e)
	// Clients connect to the children of a group, not to the group.
	if r, ok := catalog.Get[*lattice.ResourceConfiguration](tx, key); !ok || !r.IsGroup() {
		if a.AddressNumber, err = c.freeAddress(tx); err != nil {
			return err
		}
	}
	tx.Put(a)
	return nil
}

// unattached returns the endpoints attached to a resource configuration whose associations have no record.
func (c *Control) unattached(v catalog.View, key lattice.Key) []inventory.VPCEndpoint {
	r, ok := catalog.Get[*lattice.ResourceConfiguration](v, key)
	if !ok || r.Lifecycle.Deleting() {
		return nil
	}
	return slices.DeleteFunc(c.attachedEndpoints(v, r), func(e inventory.VPCEndpoint) bool {
		_, held := v.Holder(lattice.EndpointAssociationClaim(r.Scope, r.ID, e.ID))
		return held
	})
}

func (c *Control) newEndpointAssociation(key lattice.Key, e inventory.VPCEndpoint) *lattice.ResourceEndpointAssociation {
	a := &lattice.ResourceEndpointAssociation{
		Base:                    c.newActiveBase(api.Caller{Account: key.Scope.Account, Region: key.Scope.Region}, lattice.KindResourceEndpointAssociation, nil, nil),
		ResourceConfigurationID: key.Path,
		VpcEndpointID:           e.ID,
		VpcEndpointOwner:        e.Owner,
	}
	if !e.CreatedAt.IsZero() {
		a.CreatedAt = e.CreatedAt
	}
	return a
}

// forgetEndpoints deletes the records of associations whose endpoints are no longer in the inventory, before their
// resource configuration is deleted. There may be more of them than fit into its transaction.
func (c *Control) forgetEndpoints(ctx context.Context, key lattice.Key) error {
	var gone []lattice.Key
	err := c.read(func(v catalog.View) error {
		var endpoints []inventory.VPCEndpoint
		if r, ok := catalog.Get[*lattice.ResourceConfiguration](v, key); ok {
			endpoints = c.inventory().EndpointsTo(r)
		}
		for a := range catalog.All[*lattice.ResourceEndpointAssociation](v, endpointAssociationsOf(key)) {
			if !slices.ContainsFunc(endpoints, func(e inventory.VPCEndpoint) bool { return e.ID == a.VpcEndpointID }) {
				gone = append(gone, a.Key())
			}
		}
		return nil
	})
	for some := range slices.Chunk(gone, endpointsAtOnce) {
		err = c.commit(ctx, func(tx *catalog.Tx) error {
			for _, key := range some {
				tx.Delete(key)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return err
}

// endpointAssociationsOf is the index of the associations of a resource configuration with VPC endpoints.
func endpointAssociationsOf(key lattice.Key) lattice.Index {
	return lattice.By(lattice.KindResourceEndpointAssociation, key.Scope, "resourceconfiguration", key.Path)
}
