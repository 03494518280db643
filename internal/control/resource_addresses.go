package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// freeAddress returns the number of an address at which a resource can be reached, or 0 if there are no such addresses at
// all. A freed address is reused as late as possible, since clients may remember what it led to.
func (c *Control) freeAddress(v catalog.View) (uint32, error) {
	last := c.lastAddress.Load()
	for i := range c.ResourceAddresses {
		number := (last+i)%c.ResourceAddresses + 1
		if _, held := v.Holder(lattice.ResourceAddressClaim(number)); !held {
			c.lastAddress.Store(number)
			return number, nil
		}
	}
	if c.ResourceAddresses == 0 {
		return 0, nil
	}
	return 0, api.Rejected(fmt.Sprintf("Each association of a resource has an address of its own, and all %d of --resource-range are in use. Delete associations, or start all nodes with a larger range.", c.ResourceAddresses))
}

// putWithAddresses stores the association of a resource configuration with the numbers of its addresses: one for associated
// VPCs, and one for each VPC endpoint of the service network. A group has none, since its children have.
func (c *Control) putWithAddresses(tx *catalog.Tx, a *lattice.ServiceNetworkResourceAssociation) error {
	tx.Put(a)
	if a.DomainName == "" {
		return nil
	}
	network := lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID)
	ways := []string{""}
	for _, e := range c.inventory().ServiceNetworkEndpoints(network) {
		ways = append(ways, e.ID)
	}
	for _, way := range ways {
		if a.AddressNumberThrough(way) != 0 {
			continue
		}
		number, err := c.freeAddress(tx)
		if err != nil || number == 0 {
			return err
		}
		if way == "" {
			c := *a
			c.AddressNumber = number
			a = &c
		} else {
			a = a.WithEndpointAddress(way, number)
		}
		tx.Put(a) // Put it, so that the number counts as taken.
	}
	return nil
}

// InventoryChanged makes Run give resources addresses for new VPC endpoints in the inventory. It does not wait for that.
func (c *Control) InventoryChanged() {
	select {
	case c.entered <- struct{}{}:
	default:
	}
}

// numberEndpoints gives addresses to resources behind VPC endpoints, until ctx ends.
func (c *Control) numberEndpoints(ctx context.Context) {
	for {
		if err := c.numberMissing(ctx); err != nil && ctx.Err() == nil && !errors.As(err, new(*catalog.UnavailableError)) {
			c.Log.Error("giving addresses to resources behind VPC endpoints", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.entered:
		}
	}
}

// numberMissing gives an address to each resource and endpoint that lacks one.
func (c *Control) numberMissing(ctx context.Context) error {
	if c.ResourceAddresses == 0 {
		return nil
	}
	snapshot := c.inventory()
	var configurations, associations []lattice.Key
	c.Catalog.Read(func(v catalog.View) {
		reached := snapshot.ResourcesWithEndpoints()
		for r := range catalog.All[*lattice.ResourceConfiguration](v, lattice.Everywhere(lattice.KindResourceConfiguration)) {
			_, named := slices.BinarySearch(reached, r.ID)
			_, asGroup := slices.BinarySearch(reached, r.GroupID)
			if (named || asGroup) && len(c.unattached(v, r.Key())) > 0 {
				configurations = append(configurations, r.Key())
			}
		}
		for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](v, lattice.Everywhere(lattice.KindServiceNetworkResourceAssociation)) {
			missing := a.DomainName != "" && a.AddressNumber == 0
			for _, e := range snapshot.ServiceNetworkEndpoints(lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID)) {
				missing = missing || a.DomainName != "" && a.EndpointAddressNumbers[e.ID] == 0
			}
			if missing {
				associations = append(associations, a.Key())
			}
		}
	})
	var problems []error
	for _, key := range configurations {
		problems = append(problems, c.attachEndpoints(ctx, key))
	}
	for some := range slices.Chunk(associations, endpointsAtOnce) {
		problems = append(problems, c.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
			for _, key := range some {
				a, ok := catalog.Get[*lattice.ServiceNetworkResourceAssociation](tx, key)
				if !ok {
					continue
				}
				if err := c.putWithAddresses(tx, a); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return errors.Join(problems...)
}
