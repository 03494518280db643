package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateResourceGateway creates a resource gateway in a VPC.
func (c *Control) CreateResourceGateway(ctx context.Context, caller api.Caller, in *shape.CreateResourceGatewayRequest) (*shape.CreateResourceGatewayResponse, error) {
	g := lattice.ResourceGateway{
		VpcID:               value(in.VpcIdentifier),
		SubnetIDs:           in.SubnetIds,
		SecurityGroupIDs:    in.SecurityGroupIds,
		IPAddressType:       cmp.Or(in.IpAddressType, shape.ResourceGatewayIpAddressTypeIpv4),
		IPv4AddressesPerENI: value(in.Ipv4AddressesPerEni),
		DNSResolution:       cmp.Or(in.ResourceConfigDnsResolution, shape.ResourceConfigDnsResolutionPublic), // API
	}
	problems := append(g.Problems(), tagProblems(in.Tags)...)
	if g.IPAddressType != shape.ResourceGatewayIpAddressTypeIpv6 {
		g.IPv4AddressesPerENI = cmp.Or(g.IPv4AddressesPerENI, lattice.DefaultIPv4AddressesPerENI)
	} else if in.Ipv4AddressesPerEni != nil {
		problems = append(problems, lattice.FieldProblem{Field: "ipv4AddressesPerEni", Message: "A resource gateway of the IP address type IPV6 does not support ipv4AddressesPerEni."})
	}
	if err := invalid(problems); err != nil {
		return nil, err
	}
	if problem := g.ResolutionProblem(); problem != "" {
		return nil, api.Rejected(problem)
	}
	return create(ctx, c, caller, "CreateResourceGateway", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateResourceGatewayResponse, error) {
		g := g
		g.Base = c.newBase(caller, lattice.KindResourceGateway, in.Name, in.Tags)
		if err := c.checkIndexQuota(tx, lattice.QuotaResourceGatewaysPerVpc, lattice.By(lattice.KindResourceGateway, g.Scope, "vpc", g.VpcID), g.VpcID); err != nil {
			return nil, err
		}
		tx.Put(&g)
		out := c.resourceGateway(&g)
		return &shape.CreateResourceGatewayResponse{
			Arn:                         out.Arn,
			Id:                          out.Id,
			IpAddressType:               out.IpAddressType,
			Ipv4AddressesPerEni:         out.Ipv4AddressesPerEni,
			Name:                        out.Name,
			ResourceConfigDnsResolution: out.ResourceConfigDnsResolution,
			SecurityGroupIds:            out.SecurityGroupIds,
			Status:                      out.Status,
			SubnetIds:                   out.SubnetIds,
			VpcIdentifier:               out.VpcId,
		}, nil
	})
}

// GetResourceGateway returns a resource gateway.
func (c *Control) GetResourceGateway(_ context.Context, caller api.Caller, in *shape.GetResourceGatewayRequest) (*shape.GetResourceGatewayResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetResourceGatewayResponse, error) {
		g, err := find[*lattice.ResourceGateway](v, caller, lattice.KindResourceGateway, in.ResourceGatewayIdentifier)
		if err != nil {
			return nil, err
		}
		return c.resourceGateway(g), nil
	})
}

// ListResourceGateways lists the caller's resource gateways.
func (c *Control) ListResourceGateways(_ context.Context, caller api.Caller, in *shape.ListResourceGatewaysRequest) (*shape.ListResourceGatewaysResponse, error) {
	q := newQuery("ListResourceGateways", lattice.All(lattice.KindResourceGateway, caller.Scope()), in.MaxResults, in.NextToken)
	return read(c, func(v catalog.View) (*shape.ListResourceGatewaysResponse, error) {
		items, next, err := page(v, q, func(g *lattice.ResourceGateway) (shape.ResourceGatewaySummary, bool) {
			full := c.resourceGateway(g)
			return shape.ResourceGatewaySummary{
				Arn:                         full.Arn,
				CreatedAt:                   full.CreatedAt,
				Id:                          full.Id,
				IpAddressType:               full.IpAddressType,
				Ipv4AddressesPerEni:         full.Ipv4AddressesPerEni,
				LastUpdatedAt:               full.LastUpdatedAt,
				Name:                        full.Name,
				ResourceConfigDnsResolution: full.ResourceConfigDnsResolution,
				SecurityGroupIds:            full.SecurityGroupIds,
				Status:                      full.Status,
				SubnetIds:                   full.SubnetIds,
				VpcIdentifier:               full.VpcId,
			}, true
		})
		return &shape.ListResourceGatewaysResponse{Items: items, NextToken: next}, err
	})
}

// UpdateResourceGateway replaces the given members. With none given it changes nothing.
func (c *Control) UpdateResourceGateway(ctx context.Context, caller api.Caller, in *shape.UpdateResourceGatewayRequest) (*shape.UpdateResourceGatewayResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateResourceGatewayResponse, error) {
		g, err := find[*lattice.ResourceGateway](tx, caller, lattice.KindResourceGateway, in.ResourceGatewayIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireUpdatable(g, c.now()); err != nil {
			return nil, err
		}
		full := c.resourceGateway(g)
		if in.SecurityGroupIds != nil || in.ResourceConfigDnsResolution != "" {
			if g, err = c.updateResourceGateway(tx, g, in); err != nil {
				return nil, err
			}
			tx.Put(g)
			full = c.resourceGateway(g)
			full.Status = shape.ResourceGatewayStatusUpdateInProgress
		}
		out := &shape.UpdateResourceGatewayResponse{
			Arn:                         full.Arn,
			Id:                          full.Id,
			Name:                        full.Name,
			ResourceConfigDnsResolution: full.ResourceConfigDnsResolution,
			SecurityGroupIds:            full.SecurityGroupIds,
			Status:                      full.Status,
			SubnetIds:                   full.SubnetIds,
			VpcId:                       full.VpcId,
		}
		// This member's enum is the only one without DUALSTACK (API UpdateResourceGateway; A-242).
		if full.IpAddressType != shape.ResourceGatewayIpAddressTypeDualstack {
			out.IpAddressType = shape.IpAddressType(full.IpAddressType)
		}
		return out, nil
	})
}

// updateResourceGateway returns the gateway as an update leaves it. It must still be able to serve the resource
// configurations that use it.
func (c *Control) updateResourceGateway(tx *catalog.Tx, g *lattice.ResourceGateway, in *shape.UpdateResourceGatewayRequest) (*lattice.ResourceGateway, error) {
	now := c.now()
	g = updated(g, now)
	g.Lifecycle = lattice.Lifecycle{Phase: lattice.PhaseUpdate, Until: now.Add(c.LifecycleDelay)}
	if in.SecurityGroupIds != nil {
		g.SecurityGroupIDs = in.SecurityGroupIds
	}
	g.DNSResolution = cmp.Or(in.ResourceConfigDnsResolution, g.DNSResolution)
	if err := invalid(g.Problems()); err != nil {
		return nil, err
	}
	if problem := g.ResolutionProblem(); problem != "" {
		return nil, api.Rejected(problem)
	}
	for r := range catalog.All[*lattice.ResourceConfiguration](tx, configurationsOf(g)) {
		if problem := g.TypeProblem(r.Type); problem != "" {
			return nil, api.Conflict(resourceTypes[lattice.KindResourceGateway], g.ID,
				fmt.Sprintf("ResourceGateway %s is used by resource configuration %s of type %s, which does not support resourceConfigDnsResolution %s.", g.ID, r.ID, r.Type, g.DNSResolution))
		}
	}
	return g, nil
}

// DeleteResourceGateway deletes a resource gateway that no resource configuration uses.
func (c *Control) DeleteResourceGateway(ctx context.Context, caller api.Caller, in *shape.DeleteResourceGatewayRequest) (*shape.DeleteResourceGatewayResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteResourceGatewayResponse, error) {
		g, err := find[*lattice.ResourceGateway](tx, caller, lattice.KindResourceGateway, in.ResourceGatewayIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireDeletable(g, c.now()); err != nil {
			return nil, err
		}
		if tx.Count(configurationsOf(g)) > 0 {
			return nil, api.Conflict(resourceTypes[lattice.KindResourceGateway], g.ID, fmt.Sprintf("ResourceGateway %s has resource configuration(s) associated", g.ID))
		}
		status := c.remove(tx, g)
		return &shape.DeleteResourceGatewayResponse{Arn: ptr(g.ARN()), Id: ptr(g.ID), Name: ptr(g.Name), Status: shape.ResourceGatewayStatus(status)}, nil
	})
}

// configurationsOf is the index of the resource configurations, children included, that use a gateway.
func configurationsOf(g *lattice.ResourceGateway) lattice.Index {
	return lattice.By(lattice.KindResourceConfiguration, g.Scope, "resourcegateway", g.ID)
}

// defaultSecurityGroup returns the id of a VPC's default security group, which EC2 puts on interfaces without one: the
// inventory's, or one that is derived from the id of the VPC, so that it is always the same.
func (c *Control) defaultSecurityGroup(vpcID string) string {
	if vpc, ok := c.inventory().VPC(vpcID); ok && vpc.DefaultSecurityGroup != "" {
		return vpc.DefaultSecurityGroup
	}
	sum := sha256.Sum256([]byte("default security group of " + vpcID))
	return "sg-" + hex.EncodeToString(sum[:9])[:17]
}

// resourceGateway returns all that the API shows of a resource gateway. None is managed by a service here.
func (c *Control) resourceGateway(g *lattice.ResourceGateway) *shape.GetResourceGatewayResponse {
	out := &shape.GetResourceGatewayResponse{
		Arn:                         ptr(g.ARN()),
		CreatedAt:                   shape.NewTime(g.CreatedAt),
		Id:                          ptr(g.ID),
		IpAddressType:               g.IPAddressType,
		LastUpdatedAt:               shape.NewTime(g.UpdatedAt),
		Name:                        ptr(g.Name),
		ResourceConfigDnsResolution: g.DNSResolution,
		SecurityGroupIds:            g.SecurityGroupIDs,
		ServiceManaged:              ptr(false),
		Status:                      shape.ResourceGatewayStatus(g.Lifecycle.Status(c.now())),
		SubnetIds:                   g.SubnetIDs,
		VpcId:                       ptr(g.VpcID),
	}
	if len(g.SecurityGroupIDs) == 0 {
		out.SecurityGroupIds = []string{c.defaultSecurityGroup(g.VpcID)}
	}
	if g.IPv4AddressesPerENI != 0 {
		out.Ipv4AddressesPerEni = ptr(g.IPv4AddressesPerENI)
	}
	return out
}
