package control

import (
	"slices"
	"strings"
	"testing"

	"trellis/internal/catalog"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// fixedInventory is one that never changes.
type fixedInventory struct{ snapshot *inventory.Snapshot }

func (f fixedInventory) Current() *inventory.Snapshot { return f.snapshot }

func (c client) association(id *string) *lattice.ServiceNetworkResourceAssociation {
	c.t.Helper()
	var a *lattice.ServiceNetworkResourceAssociation
	c.c.Catalog.Read(func(v catalog.View) {
		a, _ = catalog.Get[*lattice.ServiceNetworkResourceAssociation](v, lattice.ServiceNetworkResourceAssociationKey(c.caller.Scope(), *id))
	})
	return a
}

func TestAssociationsOfResourcesHaveAddressesOfTheirOwn(t *testing.T) {
	c := newClient(t)
	c.c.ResourceAddresses = 1000
	gateway, network := c.resourceGateway("gate"), c.serviceNetwork("net")
	group := c.configuration(groupRequest(gateway, "group"))
	c.configuration(childRequest(group, "child-1"))
	c.configuration(childRequest(group, "child-2"))
	single := c.configuration(configurationRequest(gateway, "single"))
	associated := call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, group))
	if number := c.association(associated.Id).AddressNumber; number != 0 {
		t.Errorf("the group has number %d", number)
	}
	own := call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, single))
	var numbers []uint32
	c.c.Catalog.Read(func(v catalog.View) {
		for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](v, lattice.Everywhere(lattice.KindServiceNetworkResourceAssociation)) {
			if a.DomainName != "" && a.Scope == c.caller.Scope() {
				numbers = append(numbers, a.AddressNumber)
			}
		}
	})
	slices.Sort(numbers)
	if len(slices.Compact(slices.Clone(numbers))) != 3 || numbers[0] == 0 {
		t.Errorf("the numbers are %v", numbers)
	}
	c.c.ResourceAddresses = numbers[0] // All up to it are taken: the lowest come first.
	one := c.configuration(configurationRequest(gateway, "one"))
	_, err := c.c.CreateServiceNetworkResourceAssociation(t.Context(), c.caller, resourceAssociationRequest(network, one))
	if err == nil || !strings.Contains(err.Error(), "--resource-range") {
		t.Errorf("when no address is left: %v", err)
	}
	freed := c.association(own.Id).AddressNumber
	c.c.ResourceAddresses = freed
	call(c, c.c.DeleteServiceNetworkResourceAssociation, &shape.DeleteServiceNetworkResourceAssociationRequest{ServiceNetworkResourceAssociationIdentifier: own.Id})
	again := call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, one))
	if number := c.association(again.Id).AddressNumber; number != freed {
		t.Errorf("the number is %d, want %d, which has come free", number, freed)
	}
}

func TestVPCEndpointsGetAddressesWhenTheInventoryHasThem(t *testing.T) {
	c := newClient(t)
	c.c.ResourceAddresses = 100
	gateway, network := c.resourceGateway("gate"), c.serviceNetwork("net")
	single := c.configuration(configurationRequest(gateway, "single"))
	associated := call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, single))
	snapshot, err := inventory.Parse([]byte(`
vpcs: [{id: vpc-0123456789abcdef0, cidrs: [10.0.0.0/8]}]
vpcEndpoints:
  - {id: vpce-0123456789abcdef0, vpc: vpc-0123456789abcdef0, type: ServiceNetwork, serviceNetwork: `+*network+`}
  - {id: vpce-0123456789abcdef1, vpc: vpc-0123456789abcdef0, type: Resource, resourceConfiguration: `+*single+`}
`), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.c.Inventory = fixedInventory{snapshot}
	for range 2 { // The second time, nothing is missing.
		if err := c.c.numberMissing(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a := c.association(associated.Id)
	var endpoint *lattice.ResourceEndpointAssociation
	c.c.Catalog.Read(func(v catalog.View) {
		for e := range catalog.All[*lattice.ResourceEndpointAssociation](v, endpointAssociationsOf(lattice.ResourceConfigurationKey(c.caller.Scope(), *single))) {
			endpoint = e
		}
	})
	if endpoint == nil || endpoint.AddressNumber == 0 {
		t.Fatalf("the endpoint of the resource is %+v", endpoint)
	}
	through := a.EndpointAddressNumbers["vpce-0123456789abcdef0"]
	if a.AddressNumber == 0 || through == 0 || through == endpoint.AddressNumber || through == a.AddressNumber {
		t.Errorf("the numbers are %d, %d and %d", a.AddressNumber, through, endpoint.AddressNumber)
	}
}

func TestEndpointOfAGroupLeadsToItsChildren(t *testing.T) {
	c := newClient(t)
	c.c.ResourceAddresses = 100
	gateway := c.resourceGateway("gate")
	group := c.configuration(groupRequest(gateway, "stores"))
	child := func(name string) *string { return c.configuration(childRequest(group, name)) }
	first := child("first")
	snapshot, err := inventory.Parse([]byte(`
vpcs: [{id: vpc-0123456789abcdef0, cidrs: [10.0.0.0/8]}]
vpcEndpoints: [{id: vpce-0123456789abcdef1, vpc: vpc-0123456789abcdef0, type: Resource, resourceConfiguration: `+*group+`}]
`), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.c.Inventory = fixedInventory{snapshot}
	if err := c.c.numberMissing(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := child("second") // After the endpoint.
	associations := func(configuration *string) []shape.ResourceEndpointAssociationSummary {
		return call(c, c.c.ListResourceEndpointAssociations, &shape.ListResourceEndpointAssociationsRequest{ResourceConfigurationIdentifier: configuration}).Items
	}
	numbers := map[uint32]bool{}
	for _, configuration := range []*string{group, first, second} {
		list := associations(configuration)
		if len(list) != 1 || *list[0].VpcEndpointId != "vpce-0123456789abcdef1" {
			t.Fatalf("%s has the associations %+v", *configuration, list)
		}
		c.c.Catalog.Read(func(v catalog.View) {
			a, _ := catalog.Get[*lattice.ResourceEndpointAssociation](v, lattice.ResourceEndpointAssociationKey(c.caller.Scope(), *list[0].Id))
			numbers[a.AddressNumber] = true
		})
	}
	if len(numbers) != 3 || !numbers[0] {
		t.Errorf("the numbers of the group and its children are %v, want none for the group", numbers)
	}
	call(c, c.c.DeleteResourceConfiguration, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: second})
	call(c, c.c.DeleteResourceEndpointAssociation, &shape.DeleteResourceEndpointAssociationRequest{ResourceEndpointAssociationIdentifier: associations(group)[0].Id})
	for _, configuration := range []*string{group, first, child("third")} {
		if list := associations(configuration); len(list) != 0 {
			t.Errorf("after the deletion %s has the associations %+v", *configuration, list)
		}
	}
}

func TestTunnelsLeadToNetworkSegmentsAlone(t *testing.T) {
	c := newClient(t)
	c.c.ResourceAddresses = 100
	gateway := call(c, c.c.CreateResourceGateway, &shape.CreateResourceGatewayRequest{Name: new("segments"), VpcIdentifier: new("vpc-0123456789abcdef0"),
		SubnetIds: []string{"subnet-0123456789abcdef0"}, ResourceConfigDnsResolution: shape.ResourceConfigDnsResolutionInVpc}).Id
	request := configurationRequest(gateway, "segment")
	request.Type = shape.ResourceConfigurationTypeCidr
	request.ResourceConfigurationDefinition = &shape.ResourceConfigurationDefinition{CidrResource: &shape.CidrResource{CidrRanges: []string{"10.1.0.0/16"}}}
	segment, single := c.configuration(request), c.configuration(configurationRequest(gateway, "single"))
	snapshot, err := inventory.Parse([]byte(`
vpcs: [{id: vpc-0123456789abcdef0, cidrs: [10.0.0.0/8]}]
vpcEndpoints:
  - {id: vpce-0123456789abcdef1, vpc: vpc-0123456789abcdef0, type: Tunnel, resourceConfiguration: `+*segment+`}
  - {id: vpce-0123456789abcdef2, vpc: vpc-0123456789abcdef0, type: Resource, resourceConfiguration: `+*segment+`}
  - {id: vpce-0123456789abcdef3, vpc: vpc-0123456789abcdef0, type: Tunnel, resourceConfiguration: `+*single+`}
`), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.c.Inventory = fixedInventory{snapshot}
	for configuration, want := range map[*string]int{segment: 1, single: 0} {
		list := call(c, c.c.ListResourceEndpointAssociations, &shape.ListResourceEndpointAssociationsRequest{ResourceConfigurationIdentifier: configuration}).Items
		if len(list) != want || want > 0 && *list[0].VpcEndpointId != "vpce-0123456789abcdef1" {
			t.Errorf("%s has the associations %+v", *configuration, list)
		}
	}
}

func TestClusterOfDatabasesHasAChildForEachEndpoint(t *testing.T) {
	c := newClient(t)
	const arn = "arn:aws:rds:us-west-2:123456789012:cluster:carts"
	snapshot, err := inventory.Parse([]byte(`
databases:
  - arn: `+arn+`
    endpoints:
      - {role: writer, address: 10.0.3.1, port: 5432, domainName: carts.cluster-x.rds.test}
      - {role: reader, address: 10.0.3.2, port: 5433, domainName: carts.cluster-ro-x.rds.test}
`), t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.c.Inventory = fixedInventory{snapshot}
	gateway, network := c.resourceGateway("gate"), c.serviceNetwork("net")
	text := arn
	cluster := c.configuration(&shape.CreateResourceConfigurationRequest{
		Name: ptr("carts"), Type: shape.ResourceConfigurationTypeArn, ResourceGatewayIdentifier: gateway,
		ResourceConfigurationDefinition: &shape.ResourceConfigurationDefinition{ArnResource: &shape.ArnResource{Arn: &text}}})
	children := func() (names []string, first *string) {
		list := call(c, c.c.ListResourceConfigurations, &shape.ListResourceConfigurationsRequest{ResourceConfigurationGroupIdentifier: cluster})
		for _, item := range list.Items {
			if !*item.AmazonManaged || item.Type != shape.ResourceConfigurationTypeChild {
				t.Errorf("the child is %+v", item)
			}
			names = append(names, *item.CustomDomainName)
			first = item.Id
		}
		slices.Sort(names) // Both were created at once.
		return names, first
	}
	names, child := children()
	if !slices.Equal(names, []string{"carts.cluster-ro-x.rds.test", "carts.cluster-x.rds.test"}) {
		t.Fatalf("the children are %v", names)
	}
	if _, err := c.c.DeleteResourceConfiguration(t.Context(), c.caller, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: child}); err == nil {
		t.Error("a child was deleted by itself")
	}
	if _, err := c.c.UpdateResourceConfiguration(t.Context(), c.caller, &shape.UpdateResourceConfigurationRequest{ResourceConfigurationIdentifier: child, PortRanges: []string{"80"}}); err == nil {
		t.Error("a child was changed")
	}
	associated := call(c, c.c.CreateServiceNetworkResourceAssociation, resourceAssociationRequest(network, cluster))
	if own := call(c, c.c.ListServiceNetworkResourceAssociations, &shape.ListServiceNetworkResourceAssociationsRequest{ResourceConfigurationIdentifier: child}); len(own.Items) != 1 {
		t.Errorf("the child has %d associations", len(own.Items))
	}
	call(c, c.c.DeleteServiceNetworkResourceAssociation, &shape.DeleteServiceNetworkResourceAssociationRequest{ServiceNetworkResourceAssociationIdentifier: associated.Id})
	call(c, c.c.DeleteResourceConfiguration, &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: cluster})
	if names, _ := children(); len(names) > 0 {
		t.Errorf("without the cluster there are %v", names)
	}
}
