package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// CreateResourceConfiguration creates a resource configuration. A child of a group is in the service networks of the
// group from the start (UG resource-configuration).
func (c *Control) CreateResourceConfiguration(ctx context.Context, caller api.Caller, in *shape.CreateResourceConfigurationRequest) (*shape.CreateResourceConfigurationResponse, error) {
	problems := append(lattice.ResourceConfigurationProblems(in), tagProblems(in.Tags)...)
	problems = append(problems, c.Addresses.DefinitionProblems(in.ResourceConfigurationDefinition)...)
	if err := invalid(problems); err != nil {
		return nil, err
	}
	return create(ctx, c, caller, "CreateResourceConfiguration", in.ClientToken, in, func(tx *catalog.Tx) (*shape.CreateResourceConfigurationResponse, error) {
		r := &lattice.ResourceConfiguration{
			Base:                c.newBase(caller, lattice.KindResourceConfiguration, in.Name, in.Tags),
			Type:                in.Type,
			PortRanges:          in.PortRanges,
			Definition:          in.ResourceConfigurationDefinition,
			AllowSharedNetworks: in.AllowAssociationToShareableServiceNetwork == nil || *in.AllowAssociationToShareableServiceNetwork,
			CustomDomainName:    value(in.CustomDomainName),
			GroupDomain:         value(in.GroupDomain),
		}
		if r.Type == shape.ResourceConfigurationTypeSingle && len(r.PortRanges) == 0 {
			r.PortRanges = []string{lattice.AllPorts} // as at AWS, by the examples of the AWS CLI
		}
		var group *lattice.ResourceConfiguration
		var err error
		if r.IsChild() {
			group, err = c.joinGroup(tx, caller, r, in)
		} else {
			err = c.setGateway(tx, caller, r, in)
		}
		if err != nil {
			return nil, err
		}
		if err := setDomainVerification(tx, caller, r, in); err != nil {
			return nil, err
		}
		if err := c.checkIndexQuota(tx, lattice.QuotaResourceConfigurationsPerRegion, lattice.All(lattice.KindResourceConfiguration, r.Scope), ""); err != nil {
			return nil, err
		}
		tx.Put(r)
		c.addClusterEndpoints(tx, r)
		if group != nil {
			if err := c.associateChild(tx, group, r); err != nil {
				return nil, err
			}
			for _, e := range c.unattached(tx, r.Key()) {
				if err := c.attach(tx, r.Key(), e); err != nil {
					return nil, err
				}
			}
		}
		out := c.resourceConfiguration(tx, r)
		return &shape.CreateResourceConfigurationResponse{
			AllowAssociationToShareableServiceNetwork: out.AllowAssociationToShareableServiceNetwork,
			Arn:                             out.Arn,
			CreatedAt:                       out.CreatedAt,
			CustomDomainName:                out.CustomDomainName,
			DomainVerificationArn:           out.DomainVerificationArn,
			DomainVerificationId:            out.DomainVerificationId,
			GroupDomain:                     out.GroupDomain,
			Id:                              out.Id,
			Name:                            out.Name,
			PortRanges:                      out.PortRanges,
			Protocol:                        out.Protocol,
			ResourceConfigurationDefinition: out.ResourceConfigurationDefinition,
			ResourceConfigurationGroupId:    out.ResourceConfigurationGroupId,
			ResourceGatewayId:               out.ResourceGatewayId,
			Status:                          out.Status,
			Type:                            out.Type,
		}, nil
	})
}

// setGateway gives a resource configuration that is no child its gateway and its protocol.
func (c *Control) setGateway(tx *catalog.Tx, caller api.Caller, r *lattice.ResourceConfiguration, in *shape.CreateResourceConfigurationRequest) error {
	g, err := find[*lattice.ResourceGateway](tx, caller, lattice.KindResourceGateway, in.ResourceGatewayIdentifier)
	if err != nil {
		return err
	}
	if err := requireActive(g, c.now()); err != nil {
		return err
	}
	r.ResourceGatewayID = g.ID
	switch r.Type {
	case shape.ResourceConfigurationTypeArn: // It has none.
	case shape.ResourceConfigurationTypeCidr:
		r.Protocol = cmp.Or(in.Protocol, shape.ProtocolTypeTcpUdp)
	default:
		r.Protocol = cmp.Or(in.Protocol, shape.ProtocolTypeTcp)
	}
	return rejected(g.TypeProblem(r.Type), g.AddressProblem(r.Definition))
}

// joinGroup gives a child what it inherits from its group. The creation may repeat it, but not with another value.
func (c *Control) joinGroup(tx *catalog.Tx, caller api.Caller, r *lattice.ResourceConfiguration, in *shape.CreateResourceConfigurationRequest) (*lattice.ResourceConfiguration, error) {
	group, err := find[*lattice.ResourceConfiguration](tx, caller, lattice.KindResourceConfiguration, in.ResourceConfigurationGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if !group.IsGroup() {
		return nil, api.Invalid("resourceConfigurationGroupIdentifier", fmt.Sprintf("Resource configuration %s is of type %s. A child needs one of type GROUP.", group.ID, group.Type))
	}
	if err := requireActive(group, c.now()); err != nil {
		return nil, err
	}
	// A group always has its gateway, which cannot be deleted while it is in use.
	g, _ := catalog.Get[*lattice.ResourceGateway](tx, lattice.ResourceGatewayKey(group.Scope, group.ResourceGatewayID))
	if in.ResourceGatewayIdentifier != nil {
		own, err := find[*lattice.ResourceGateway](tx, caller, lattice.KindResourceGateway, in.ResourceGatewayIdentifier)
		if err != nil {
			return nil, err
		}
		if own.ID != g.ID {
			return nil, api.Invalid("resourceGatewayIdentifier", fmt.Sprintf("A child has the resource gateway of its group, which is %s.", g.ID))
		}
	}
	if in.Protocol != "" && in.Protocol != group.Protocol {
		return nil, api.Invalid("protocol", fmt.Sprintf("A child has the protocol of its group, which is %s.", group.Protocol))
	}
	if len(in.PortRanges) == 0 && len(group.PortRanges) == 0 {
		return nil, api.Invalid("portRanges", fmt.Sprintf("A resource configuration of type CHILD requires portRanges, since its group %s has none.", group.ID))
	}
	if r.CustomDomainName != "" && !(group.GroupDomain != "" && lattice.IsSubdomain(r.CustomDomainName, group.GroupDomain)) {
		return nil, api.Invalid("customDomainName", fmt.Sprintf("The customDomainName of a child must be a subdomain of the groupDomain of its group %s.", group.ID))
	}
	children := tx.Count(childrenOf(group))
	if err := c.checkQuota(lattice.QuotaChildResourceConfigurationsPerGroup, children+1, lattice.KindResourceConfiguration, group.ID); err != nil {
		return nil, err
	}
	r.GroupID, r.ResourceGatewayID, r.Protocol = group.ID, g.ID, group.Protocol
	if len(r.PortRanges) == 0 {
		r.PortRanges = group.PortRanges
	}
	if r.CustomDomainName != "" {
		r.DomainVerificationID = group.DomainVerificationID
	}
	return group, rejected(g.AddressProblem(r.Definition))
}

// setDomainVerification refers to the verification of the domain of a resource configuration, if one is given. It
// need not have succeeded yet: the status is shown.
func setDomainVerification(tx *catalog.Tx, caller api.Caller, r *lattice.ResourceConfiguration, in *shape.CreateResourceConfigurationRequest) error {
	if in.DomainVerificationIdentifier == nil {
		return nil
	}
	d, err := find[*lattice.DomainVerification](tx, caller, lattice.KindDomainVerification, in.DomainVerificationIdentifier)
	if err != nil {
		return err
	}
	if name := cmp.Or(r.CustomDomainName, r.GroupDomain); !d.Covers(name) {
		return api.Invalid("domainVerificationIdentifier", fmt.Sprintf("Domain verification %s is for %s, to which %s does not belong.", d.ID, d.DomainName, name))
	}
	r.DomainVerificationID = d.ID
	return nil
}

// rejected returns the ValidationException of the first problem that is one.
func rejected(problems ...string) error {
	if problem := cmp.Or(problems...); problem != "" {
		return api.Rejected(problem)
	}
	return nil
}

// GetResourceConfiguration returns a resource configuration.
func (c *Control) GetResourceConfiguration(_ context.Context, caller api.Caller, in *shape.GetResourceConfigurationRequest) (*shape.GetResourceConfigurationResponse, error) {
	return read(c, func(v catalog.View) (*shape.GetResourceConfigurationResponse, error) {
		r, err := find[*lattice.ResourceConfiguration](v, caller, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
		if err != nil {
			return nil, err
		}
		return c.resourceConfiguration(v, r), nil
	})
}

// ListResourceConfigurations lists the caller's resource configurations, or those of a resource gateway, of a group, of
// a domain verification, or of several of these.
func (c *Control) ListResourceConfigurations(_ context.Context, caller api.Caller, in *shape.ListResourceConfigurationsRequest) (*shape.ListResourceConfigurationsResponse, error) {
	gatewayID, err1 := filterID(caller, lattice.KindResourceGateway, in.ResourceGatewayIdentifier)
	groupID, err2 := filterID(caller, lattice.KindResourceConfiguration, in.ResourceConfigurationGroupIdentifier)
	verificationID, err3 := filterID(caller, lattice.KindDomainVerification, in.DomainVerificationIdentifier)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	scope := caller.Scope()
	q := newQuery("ListResourceConfigurations", lattice.All(lattice.KindResourceConfiguration, scope), in.MaxResults, in.NextToken)
	q.Filter = fmt.Sprintf("%s %s %s", gatewayID, groupID, verificationID)
	switch { // The list that is probably the shortest.
	case groupID != "":
		q.Index = lattice.By(lattice.KindResourceConfiguration, scope, "group", groupID)
	case verificationID != "":
		q.Index = lattice.By(lattice.KindResourceConfiguration, scope, "domainverification", verificationID)
	case gatewayID != "":
		q.Index = lattice.By(lattice.KindResourceConfiguration, scope, "resourcegateway", gatewayID)
	}
	return read(c, func(v catalog.View) (*shape.ListResourceConfigurationsResponse, error) {
		items, next, err := page(v, q, func(r *lattice.ResourceConfiguration) (shape.ResourceConfigurationSummary, bool) {
			if gatewayID != "" && r.ResourceGatewayID != gatewayID || verificationID != "" && r.DomainVerificationID != verificationID {
				return shape.ResourceConfigurationSummary{}, false
			}
			return summariseResourceConfiguration(c.resourceConfiguration(v, r)), true
		})
		return &shape.ListResourceConfigurationsResponse{Items: items, NextToken: next}, err
	})
}

// UpdateResourceConfiguration replaces the given members. With none given it changes nothing. Of the
// definition, addresses can be replaced, names and ARNs cannot.
func (c *Control) UpdateResourceConfiguration(ctx context.Context, caller api.Caller, in *shape.UpdateResourceConfigurationRequest) (*shape.UpdateResourceConfigurationResponse, error) {
	return change(ctx, c, func(tx *catalog.Tx) (*shape.UpdateResourceConfigurationResponse, error) {
		r, err := find[*lattice.ResourceConfiguration](tx, caller, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
		if err != nil {
			return nil, err
		}
		// The model gives this operation, alone of its kind, no ConflictException.
		if conflict, ok := errors.AsType[*shape.ConflictException](requireUpdatable(r, c.now())); ok {
			return nil, api.Rejected(*conflict.Message)
		}
		full := c.resourceConfiguration(tx, r)
		if r.AmazonManaged {
			return nil, amazonManaged(r)
		}
		if in.ResourceConfigurationDefinition != nil || in.AllowAssociationToShareableServiceNetwork != nil || in.PortRanges != nil {
			if r, err = c.updateResourceConfiguration(tx, r, in); err != nil {
				return nil, err
			}
			tx.Put(r)
			full = c.resourceConfiguration(tx, r)
			full.Status = shape.ResourceConfigurationStatusUpdateInProgress
		}
		return &shape.UpdateResourceConfigurationResponse{
			AllowAssociationToShareableServiceNetwork: full.AllowAssociationToShareableServiceNetwork,
			Arn:                             full.Arn,
			Id:                              full.Id,
			Name:                            full.Name,
			PortRanges:                      full.PortRanges,
			Protocol:                        full.Protocol,
			ResourceConfigurationDefinition: full.ResourceConfigurationDefinition,
			ResourceConfigurationGroupId:    full.ResourceConfigurationGroupId,
			ResourceGatewayId:               full.ResourceGatewayId,
			Status:                          full.Status,
			Type:                            full.Type,
		}, nil
	})
}

// updateResourceConfiguration returns the resource configuration as an update leaves it.
func (c *Control) updateResourceConfiguration(tx *catalog.Tx, r *lattice.ResourceConfiguration, in *shape.UpdateResourceConfigurationRequest) (*lattice.ResourceConfiguration, error) {
	if err := invalid(append(r.UpdateProblems(in), c.Addresses.DefinitionProblems(in.ResourceConfigurationDefinition)...)); err != nil {
		return nil, err
	}
	now := c.now()
	r = updated(r, now)
	r.Lifecycle = lattice.Lifecycle{Phase: lattice.PhaseUpdate, Until: now.Add(c.LifecycleDelay)}
	if in.AllowAssociationToShareableServiceNetwork != nil {
		r.AllowSharedNetworks = *in.AllowAssociationToShareableServiceNetwork
	}
	if in.PortRanges != nil {
		r.PortRanges = in.PortRanges
	}
	if in.ResourceConfigurationDefinition != nil {
		if !r.CanBecome(in.ResourceConfigurationDefinition) {
			return nil, api.Rejected("cannot modify resource configuration DNS or ARN") // AWS's words, as terraform-provider-aws quotes them
		}
		r.Definition = in.ResourceConfigurationDefinition
	}
	g, _ := catalog.Get[*lattice.ResourceGateway](tx, lattice.ResourceGatewayKey(r.Scope, r.ResourceGatewayID))
	return r, rejected(g.AddressProblem(r.Definition))
}

// DeleteResourceConfiguration deletes a resource configuration that is not associated with a service network by itself and
// has no VPC endpoints and no children. A child leaves the service networks of its group with it (UG
// resource-configuration).
func (c *Control) DeleteResourceConfiguration(ctx context.Context, caller api.Caller, in *shape.DeleteResourceConfigurationRequest) (*shape.DeleteResourceConfigurationResponse, error) {
	key, err := resolve(caller, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
	if err != nil {
		return nil, err
	}
	if err := c.forgetEndpoints(ctx, key); err != nil {
		return nil, err
	}
	return change(ctx, c, func(tx *catalog.Tx) (*shape.DeleteResourceConfigurationResponse, error) {
		r, err := find[*lattice.ResourceConfiguration](tx, caller, lattice.KindResourceConfiguration, in.ResourceConfigurationIdentifier)
		if err != nil {
			return nil, err
		}
		if err := requireDeletable(r, c.now()); err != nil {
			return nil, err
		}
		if r.AmazonManaged {
			return nil, amazonManaged(r)
		}
		associations := slices.Collect(catalog.All[*lattice.ServiceNetworkResourceAssociation](tx, associationsOf(r)))
		for _, a := range associations {
			if a.GroupAssociationID == "" {
				return nil, hasAssociations(r, "service networks")
			}
		}
		// Those of its group do not keep a child from being deleted.
		if r.GroupID == "" && len(c.attachedEndpoints(tx, r)) > 0 {
			return nil, hasAssociations(r, "VPC endpoints")
		}
		if r.IsGroup() && tx.Count(childrenOf(r)) > 0 {
			return nil, api.Conflict(resourceTypes[lattice.KindResourceConfiguration], r.ID, fmt.Sprintf("ResourceConfiguration %s has child resource configuration(s)", r.ID))
		}
		for _, a := range associations {
			c.end(tx, a) // It ends at once, since its resource is deleted.
		}
		for _, a := range slices.Collect(catalog.All[*lattice.ResourceEndpointAssociation](tx, endpointAssociationsOf(r.Key()))) {
			tx.Delete(a.Key()) // Its endpoint has just left the inventory.
		}
		for _, child := range slices.Collect(catalog.All[*lattice.ResourceConfiguration](tx, childrenOf(r))) {
			c.end(tx, child) // The children of a cluster are deleted with it.
		}
		c.remove(tx, r)
		return &shape.DeleteResourceConfigurationResponse{}, nil
	})
}

// addClusterEndpoints makes the children of a database cluster that the inventory knows: one for each endpoint, with its name
// as the custom domain name, as AWS does.
func (c *Control) addClusterEndpoints(tx *catalog.Tx, cluster *lattice.ResourceConfiguration) {
	if cluster.Type != shape.ResourceConfigurationTypeArn {
		return
	}
	database, _ := c.inventory().Database(*cluster.Definition.ArnResource.Arn)
	for i, e := range database.Endpoints {
		if e.Role == "" {
			continue // The database is not a cluster.
		}
		name := fmt.Sprintf("%.30s-%s-%d", cluster.Name, e.Role, i)
		child := &lattice.ResourceConfiguration{
			Base:              c.newBase(api.Caller{Account: cluster.Scope.Account, Region: cluster.Scope.Region}, lattice.KindResourceConfiguration, &name, nil),
			Type:              shape.ResourceConfigurationTypeChild,
			ResourceGatewayID: cluster.ResourceGatewayID,
			GroupID:           cluster.ID,
			Protocol:          shape.ProtocolTypeTcp,
			PortRanges:        []string{strconv.Itoa(int(e.Address.Port()))},
			Definition:        &shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: ptr(e.DomainName), IpAddressType: shape.ResourceConfigurationIpAddressTypeIpv4}},
			CustomDomainName:  e.DomainName,
			AmazonManaged:     true,
		}
		if e.Address.Addr().Is6() {
			child.Definition.DnsResource.IpAddressType = shape.ResourceConfigurationIpAddressTypeIpv6
		}
		tx.Put(child)
	}
}

// amazonManaged refuses to change or delete what came with the resource configuration of a database cluster.
func amazonManaged(r *lattice.ResourceConfiguration) error {
	return api.Rejected(fmt.Sprintf("ResourceConfiguration %s is managed by AWS: it belongs to %s, and is deleted with it.", r.ID, r.GroupID))
}

// hasAssociations refuses to delete a resource configuration that is in use. For service networks, Terraform looks
// for the words in the message of a ValidationException (github.com/hashicorp/terraform-provider-aws,
// internal/service/vpclattice/resource_configuration.go); for endpoints the same is assumed.
func hasAssociations(r *lattice.ResourceConfiguration, with string) error {
	return api.Rejected(fmt.Sprintf("ResourceConfiguration %s has existing association with %s", r.ID, with))
}

// childrenOf is the index of a group's children.
func childrenOf(group *lattice.ResourceConfiguration) lattice.Index {
	return lattice.By(lattice.KindResourceConfiguration, group.Scope, "group", group.ID)
}

// resourceConfiguration returns all that the API shows of a resource configuration. What it refers to cannot have been deleted.
func (c *Control) resourceConfiguration(v catalog.View, r *lattice.ResourceConfiguration) *shape.GetResourceConfigurationResponse {
	_, failure := r.Lifecycle.Failure(c.now())
	out := &shape.GetResourceConfigurationResponse{
		AmazonManaged:                   ptr(r.AmazonManaged),
		Arn:                             ptr(r.ARN()),
		CreatedAt:                       shape.NewTime(r.CreatedAt),
		CustomDomainName:                present(r.CustomDomainName),
		FailureReason:                   present(failure),
		GroupDomain:                     present(r.GroupDomain),
		Id:                              ptr(r.ID),
		LastUpdatedAt:                   shape.NewTime(r.UpdatedAt),
		Name:                            ptr(r.Name),
		PortRanges:                      r.PortRanges,
		Protocol:                        r.Protocol,
		ResourceConfigurationDefinition: r.Definition,
		ResourceConfigurationGroupId:    present(r.GroupID),
		ResourceGatewayId:               ptr(r.ResourceGatewayID),
		Status:                          shape.ResourceConfigurationStatus(r.Lifecycle.Status(c.now())),
		Type:                            r.Type,
	}
	if r.HasSharing() {
		out.AllowAssociationToShareableServiceNetwork = ptr(r.AllowSharedNetworks)
	}
	if d, ok := catalog.Get[*lattice.DomainVerification](v, lattice.DomainVerificationKey(r.Scope, r.DomainVerificationID)); ok {
		out.DomainVerificationArn = ptr(d.ARN())
		out.DomainVerificationId = ptr(d.ID)
		out.DomainVerificationStatus = d.Status(c.now())
	}
	return out
}

func summariseResourceConfiguration(r *shape.GetResourceConfigurationResponse) shape.ResourceConfigurationSummary {
	return shape.ResourceConfigurationSummary{
		AmazonManaged:                r.AmazonManaged,
		Arn:                          r.Arn,
		CreatedAt:                    r.CreatedAt,
		CustomDomainName:             r.CustomDomainName,
		DomainVerificationId:         r.DomainVerificationId,
		GroupDomain:                  r.GroupDomain,
		Id:                           r.Id,
		LastUpdatedAt:                r.LastUpdatedAt,
		Name:                         r.Name,
		ResourceConfigurationGroupId: r.ResourceConfigurationGroupId,
		ResourceGatewayId:            r.ResourceGatewayId,
		Status:                       r.Status,
		Type:                         r.Type,
	}
}
