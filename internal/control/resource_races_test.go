package control

import (
	"fmt"
	"testing"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

func (c client) resourceGateway(name string) *string {
	c.t.Helper()
	return call(c, c.c.CreateResourceGateway, &shape.CreateResourceGatewayRequest{
		Name: &name, VpcIdentifier: ptr("vpc-01234567"), SubnetIds: []string{"subnet-01234567"},
	}).Id
}

func configurationRequest(gateway *string, name string) *shape.CreateResourceConfigurationRequest {
	return &shape.CreateResourceConfigurationRequest{
		Name: &name, Type: shape.ResourceConfigurationTypeSingle, ResourceGatewayIdentifier: gateway, PortRanges: []string{"80"},
		ResourceConfigurationDefinition: address("10.0.0.5"),
	}
}

func groupRequest(gateway *string, name string) *shape.CreateResourceConfigurationRequest {
	return &shape.CreateResourceConfigurationRequest{
		Name: &name, Type: shape.ResourceConfigurationTypeGroup, ResourceGatewayIdentifier: gateway, PortRanges: []string{"80"},
	}
}

func childRequest(group *string, name string) *shape.CreateResourceConfigurationRequest {
	return &shape.CreateResourceConfigurationRequest{
		Name: &name, Type: shape.ResourceConfigurationTypeChild, ResourceConfigurationGroupIdentifier: group,
		ResourceConfigurationDefinition: address("10.0.0.5"),
	}
}

func address(ip string) *shape.ResourceConfigurationDefinition {
	return &shape.ResourceConfigurationDefinition{IpResource: &shape.IpResource{IpAddress: &ip}}
}

func (c client) configuration(in *shape.CreateResourceConfigurationRequest) *string {
	c.t.Helper()
	return call(c, c.c.CreateResourceConfiguration, in).Id
}

func resourceAssociationRequest(network, configuration *string) *shape.CreateServiceNetworkResourceAssociationRequest {
	return &shape.CreateServiceNetworkResourceAssociationRequest{ServiceNetworkIdentifier: network, ResourceConfigurationIdentifier: configuration}
}

// rejectedOrRefused reports whether an operation was refused, possibly by a ValidationException, as the deletion of a
// resource configuration is.
func rejectedOrRefused(t *testing.T, err error) bool {
	t.Helper()
	if _, ok := err.(*shape.ValidationException); ok {
		return true
	}
	return refused(t, err)
}

func TestDeletedResourceGatewayHasNoConfiguration(t *testing.T) {
	c := newClient(t)
	for i := range rounds {
		gateway := c.resourceGateway(fmt.Sprintf("gateway-%d", i))
		errs := race(
			func() error {
				_, err := c.c.DeleteResourceGateway(t.Context(), c.caller, &shape.DeleteResourceGatewayRequest{ResourceGatewayIdentifier: gateway})
				return err
			},
			func() error {
				_, err := c.c.CreateResourceConfiguration(t.Context(), c.caller, configurationRequest(gateway, fmt.Sprintf("configuration-%d", i)))
				return err
			},
		)
		if deleted, created := !refused(t, errs[0]), !refused(t, errs[1]); deleted == created {
			t.Errorf("round %d: deletion: %v, creation: %v; want one of them to be refused", i, errs[0], errs[1])
		}
	}
	c.checkReferences()
}

func TestDeletedResourceConfigurationIsInNoNetwork(t *testing.T) {
	c := newClient(t)
	gateway, network := c.resourceGateway("gateway"), c.serviceNetwork("network")
	for i := range rounds {
		configuration := c.configuration(configurationRequest(gateway, fmt.Sprintf("configuration-%d", i)))
		errs := race(
			func() error {
				_, err := c.c.DeleteResourceConfiguration(t.Context(), c.caller, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: configuration})
				return err
			},
			func() error {
				_, err := c.c.CreateServiceNetworkResourceAssociation(t.Context(), c.caller, resourceAssociationRequest(network, configuration))
				return err
			},
		)
		if deleted, associated := !rejectedOrRefused(t, errs[0]), !refused(t, errs[1]); deleted == associated {
			t.Errorf("round %d: deletion: %v, association: %v; want one of them to be refused", i, errs[0], errs[1])
		}
	}
	c.checkReferences()
}

// Whatever the order in which a group, its children and its service networks come and go, each child is where its
// group is.
func TestChildrenStayInTheNetworksOfTheirGroup(t *testing.T) {
	c := newClient(t)
	gateway := c.resourceGateway("gateway")
	for i := range rounds {
		network := c.serviceNetwork(fmt.Sprintf("network-%d", i))
		group := c.configuration(groupRequest(gateway, fmt.Sprintf("group-%d", i)))
		first := c.configuration(childRequest(group, fmt.Sprintf("first-%d", i)))
		errs := race(
			func() error {
				_, err := c.c.CreateServiceNetworkResourceAssociation(t.Context(), c.caller, resourceAssociationRequest(network, group))
				return err
			},
			func() error {
				_, err := c.c.CreateResourceConfiguration(t.Context(), c.caller, childRequest(group, fmt.Sprintf("second-%d", i)))
				return err
			},
			func() error {
				_, err := c.c.DeleteResourceConfiguration(t.Context(), c.caller, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: first})
				return err
			},
			func() error {
				_, err := c.c.DeleteServiceNetwork(t.Context(), c.caller, &shape.DeleteServiceNetworkRequest{ServiceNetworkIdentifier: network})
				return err
			},
		)
		if errs[1] != nil || errs[2] != nil {
			t.Fatalf("round %d: creating a child: %v, deleting one: %v", i, errs[1], errs[2])
		}
		if associated, deleted := !refused(t, errs[0]), !refused(t, errs[3]); associated == deleted {
			t.Errorf("round %d: association: %v, deletion of the network: %v; want one of them to be refused", i, errs[0], errs[3])
		}
		c.checkReferences()
	}
}

func TestOneOfManyCreatorsGetsTheLogDestination(t *testing.T) {
	c := newClient(t)
	service := c.service("orders")
	var creators []func() error
	for i := range 16 {
		creators = append(creators, func() error {
			_, err := c.c.CreateAccessLogSubscription(t.Context(), c.caller, &shape.CreateAccessLogSubscriptionRequest{
				ResourceIdentifier: service, DestinationArn: ptr(fmt.Sprintf("arn:aws:s3:::access-logs-%d", i)),
			})
			return err
		})
	}
	oneSucceeds(t, race(creators...))
}

// The largest possible group fits into one transaction, in every way in which it is created and deleted.
func TestLargestGroupIsCreatedAndDeleted(t *testing.T) {
	c := newClient(t)
	c.c.quotas = lattice.Quotas{"childResourceConfigurationsPerGroup": 100}.InForce()
	gateway, network := c.resourceGateway("gateway"), c.serviceNetwork("network")
	group := c.configuration(groupRequest(gateway, "group"))
	for i := range 100 {
		c.configuration(childRequest(group, fmt.Sprintf("child-%d", i)))
	}
	in := resourceAssociationRequest(network, group)
	in.ClientToken = ptr("once")
	association := call(c, c.c.CreateServiceNetworkResourceAssociation, in).Id
	all := &shape.ListServiceNetworkResourceAssociationsRequest{ServiceNetworkIdentifier: network, IncludeChildren: ptr(true)}
	if out := call(c, c.c.ListServiceNetworkResourceAssociations, all); len(out.Items) != 100 || out.NextToken == nil {
		t.Errorf("the first page has %d associations, and the next token %v", len(out.Items), out.NextToken)
	}
	call(c, c.c.DeleteServiceNetworkResourceAssociation, &shape.DeleteServiceNetworkResourceAssociationRequest{ServiceNetworkResourceAssociationIdentifier: association})
	if out := call(c, c.c.ListServiceNetworkResourceAssociations, all); len(out.Items) != 0 {
		t.Errorf("%d associations are left", len(out.Items))
	}

	c.c.quotas = lattice.Quotas{"serviceNetworksPerRegion": 1000}.InForce()
	group = c.configuration(groupRequest(gateway, "wide"))
	for i := range maxNetworksOfGroup {
		call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(c.serviceNetwork(fmt.Sprintf("network-%d", i)), group))
	}
	if _, err := c.c.CreateServiceNetworkResourceAssociation(t.Context(), c.caller, resourceAssociationRequest(network, group)); !rejectedOrRefused(t, err) {
		t.Error("the group is in more service networks than it can be")
	}
	request := childRequest(group, "everywhere")
	request.ClientToken = ptr("once")
	child := c.configuration(request)
	c.checkReferences()
	call(c, c.c.DeleteResourceConfiguration, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: child})
	c.checkReferences()
}

func TestAssociationOfAGroupIsPartialWhenAChildCannotJoin(t *testing.T) {
	c := newClient(t)
	gateway, network := c.resourceGateway("gateway"), c.serviceNetwork("network")
	group := c.configuration(groupRequest(gateway, "group"))
	association := call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, group)).Id
	child := c.configuration(childRequest(group, "child"))
	own := call(c, c.c.ListServiceNetworkResourceAssociations, &shape.ListServiceNetworkResourceAssociationsRequest{ResourceConfigurationIdentifier: child}).Items[0].Id
	c.fail(lattice.ServiceNetworkResourceAssociationKey(c.caller.Scope(), *own), lattice.PhaseCreate)

	get := func(id *string) *shape.GetServiceNetworkResourceAssociationResponse {
		return call(c, c.c.GetServiceNetworkResourceAssociation, &shape.GetServiceNetworkResourceAssociationRequest{ServiceNetworkResourceAssociationIdentifier: id})
	}
	if out := get(own); out.Status != shape.ServiceNetworkResourceAssociationStatusCreateFailed || value(out.FailureCode) != "Broken" || value(out.FailureReason) != "It broke." {
		t.Errorf("the child's association is shown as %s, %s, %s", out.Status, value(out.FailureCode), value(out.FailureReason))
	}
	if out := get(association); out.Status != shape.ServiceNetworkResourceAssociationStatusPartial {
		t.Errorf("the group's association is %s", out.Status)
	}
	// The child can leave and join by itself.
	call(c, c.c.DeleteServiceNetworkResourceAssociation, &shape.DeleteServiceNetworkResourceAssociationRequest{ServiceNetworkResourceAssociationIdentifier: own})
	call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, child))
	if out := get(association); out.Status != shape.ServiceNetworkResourceAssociationStatusActive {
		t.Errorf("the group's association is %s", out.Status)
	}
}

func TestResourceGatewayWhoseUpdateFailedCanBeUpdatedAgain(t *testing.T) {
	c := newClient(t)
	gateway := c.resourceGateway("gateway")
	c.fail(lattice.ResourceGatewayKey(c.caller.Scope(), *gateway), lattice.PhaseUpdate)
	get := &shape.GetResourceGatewayRequest{ResourceGatewayIdentifier: gateway}
	if out := call(c, c.c.GetResourceGateway, get); out.Status != shape.ResourceGatewayStatusUpdateFailed {
		t.Errorf("the gateway is %s", out.Status)
	}
	call(c, c.c.UpdateResourceGateway, &shape.UpdateResourceGatewayRequest{ResourceGatewayIdentifier: gateway, SecurityGroupIds: []string{"sg-01234567"}})
	if out := call(c, c.c.GetResourceGateway, get); out.Status != shape.ResourceGatewayStatusActive {
		t.Errorf("after the update, the gateway is %s", out.Status)
	}
}

func TestResourceConfigurationThatCouldNotBeCreatedSaysWhyAndCanOnlyBeDeleted(t *testing.T) {
	c := newClient(t)
	configuration := c.configuration(configurationRequest(c.resourceGateway("gateway"), "configuration"))
	c.fail(lattice.ResourceConfigurationKey(c.caller.Scope(), *configuration), lattice.PhaseCreate)
	out := call(c, c.c.GetResourceConfiguration, &shape.GetResourceConfigurationRequest{ResourceConfigurationIdentifier: configuration})
	if out.Status != shape.ResourceConfigurationStatusCreateFailed || value(out.FailureReason) != "It broke." {
		t.Errorf("it is shown as %s, %s", out.Status, value(out.FailureReason))
	}
	_, err := c.c.UpdateResourceConfiguration(t.Context(), c.caller, &shape.UpdateResourceConfigurationRequest{ResourceConfigurationIdentifier: configuration, PortRanges: []string{"81"}})
	if !rejectedOrRefused(t, err) {
		t.Error("it was updated")
	}
	call(c, c.c.DeleteResourceConfiguration, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: configuration})
}
