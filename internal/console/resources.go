package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/proxy"
	"trellis/internal/routing"
	"trellis/internal/shape"
)

// listedConfiguration, and the two below, are what the page of resources lists, with the names of what they refer to.
type listedConfiguration struct {
	*lattice.ResourceConfiguration
	gateway      string
	associations int
}

type listedGateway struct {
	*lattice.ResourceGateway
	configurations int
}

type listedAssociation struct {
	*lattice.ServiceNetworkResourceAssociation
	network, configuration string
	ways                   []*routing.Resource // the network in which clients reach it
}

func listedAssociationOf(view catalog.View, a *lattice.ServiceNetworkResourceAssociation) *listedAssociation {
	listed := &listedAssociation{ServiceNetworkResourceAssociation: a, network: a.ServiceNetworkID, configuration: a.ResourceConfigurationID}
	if n, ok := catalog.Get[*lattice.ServiceNetwork](view, lattice.ServiceNetworkKey(a.Scope, a.ServiceNetworkID)); ok {
		listed.network = n.Name
	}
	if c, ok := catalog.Get[*lattice.ResourceConfiguration](view, lattice.ResourceConfigurationKey(a.Scope, a.ResourceConfigurationID)); ok {
		listed.configuration = c.Name
	}
	return listed
}

// address fills in where clients reach what is associated.
func (v *visit) address(associations []*listedAssociation) {
	of := map[string][]*routing.Resource{}
	for _, r := range v.cfg.Router.Resources() {
		of[r.Route().AssociationID] = append(of[r.Route().AssociationID], r)
	}
	for _, a := range associations {
		a.ways = of[a.ID]
	}
}

func (v *visit) associationTable(associations []*listedAssociation) *table {
	return list[*listedAssociation]{
		id: "associations", label: "Associations with service networks", items: associations, empty: "No resource configuration is in a service network: no client reaches one.",
		key: func(a *listedAssociation) string { return a.ID },
		matches: func(a *listedAssociation, word string) bool {
			return containsAny(word, a.ID, a.network, a.configuration, a.DomainName)
		},
		columns: []column[*listedAssociation]{
			{name: "Association", by: byText(func(a *listedAssociation) string { return a.ID }), cell: func(a *listedAssociation) cell { return cell{Text: a.ID, Link: v.to("resources", a.ID)} }},
			{name: "Status", by: byText(func(a *listedAssociation) string { return v.status(a).Text }), cell: func(a *listedAssociation) cell { return v.status(a) }},
			{name: "Resource configuration", by: byText(func(a *listedAssociation) string { return a.configuration }), cell: func(a *listedAssociation) cell {
				return cell{Text: a.configuration, Link: v.to("resources", a.ResourceConfigurationID)}
			}},
			{name: "Service network", by: byText(func(a *listedAssociation) string { return a.network }), cell: func(a *listedAssociation) cell {
				return cell{Text: a.network, Link: v.to("service-networks", a.ServiceNetworkID)}
			}},
			{name: "Name and address", cell: addressCell},
		},
	}.show(v)
}

// addressCell shows where clients find the resource.
func addressCell(a *listedAssociation) cell {
	c := orNone(a.DomainName)
	for _, way := range a.ways {
		for _, address := range way.Addresses {
			c.More = append(c.More, code(address.String()))
		}
	}
	return c
}

func (v *visit) configurationTable(id string, configurations []*listedConfiguration) *table {
	return list[*listedConfiguration]{
		id: id, label: "Resource configurations", items: configurations, empty: "There is no resource configuration.",
		key: func(c *listedConfiguration) string { return c.ID },
		matches: func(c *listedConfiguration, word string) bool {
			return containsAny(word, c.Name, c.ID, definitionWords(c.Definition), string(c.Type)) || matchesTags(c.Tags, word)
		},
		columns: []column[*listedConfiguration]{
			{name: "Name", by: byText(func(c *listedConfiguration) string { return c.Name }), cell: func(c *listedConfiguration) cell {
				return cell{Text: c.Name, Link: v.to("resources", c.ID), Sub: c.ID}
			}},
			{name: "Status", by: byText(func(c *listedConfiguration) string { return v.status(c).Text }), cell: func(c *listedConfiguration) cell { return v.status(c) }},
			{name: "Type", by: byText(func(c *listedConfiguration) string { return string(c.Type) }), cell: func(c *listedConfiguration) cell { return text(string(c.Type)) }},
			{name: "Leads to", cell: func(c *listedConfiguration) cell {
				return cell{Text: definitionWords(c.Definition), Code: true, Sub: portWords(c.PortRanges)}
			}},
			{name: "Gateway", cell: func(c *listedConfiguration) cell {
				return cell{Text: c.gateway, Link: v.to("resources", c.ResourceGatewayID)}
			}},
			{name: "Networks", number: true, by: byNumber(func(c *listedConfiguration) int { return c.associations }), cell: func(c *listedConfiguration) cell { return number(c.associations) }},
		},
	}.show(v)
}

func portWords(ranges []string) string {
	switch len(ranges) {
	case 0:
		return ""
	case 1:
		return "port " + ranges[0]
	}
	return "ports " + strings.Join(ranges, ", ")
}

// definitionWords says where a resource is.
func definitionWords(d *shape.ResourceConfigurationDefinition) string {
	switch {
	case d == nil:
		return "its children"
	case d.DnsResource != nil:
		return value(d.DnsResource.DomainName)
	case d.IpResource != nil:
		return value(d.IpResource.IpAddress)
	case d.ArnResource != nil:
		return value(d.ArnResource.Arn)
	case d.CidrResource != nil:
		return compact(d.CidrResource)
	}
	return ""
}

func listedConfigurationOf(view catalog.View, c *lattice.ResourceConfiguration) *listedConfiguration {
	listed := &listedConfiguration{c, c.ResourceGatewayID, view.Count(lattice.By(lattice.KindServiceNetworkResourceAssociation, c.Scope, "resourceconfiguration", c.ID))}
	if g, ok := catalog.Get[*lattice.ResourceGateway](view, lattice.ResourceGatewayKey(c.Scope, c.ResourceGatewayID)); ok {
		listed.gateway = g.Name
	}
	return listed
}

func (v *visit) resources() (*content, error) {
	var configurations []*listedConfiguration
	var gateways []*listedGateway
	var associations []*listedAssociation
	v.read(func(view catalog.View) {
		used := map[string]int{}
		for c := range catalog.All[*lattice.ResourceConfiguration](view, lattice.All(lattice.KindResourceConfiguration, v.scope)) {
			configurations = append(configurations, listedConfigurationOf(view, c))
			used[c.ResourceGatewayID]++
		}
		for g := range catalog.All[*lattice.ResourceGateway](view, lattice.All(lattice.KindResourceGateway, v.scope)) {
			gateways = append(gateways, &listedGateway{g, used[g.ID]})
		}
		for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](view, lattice.All(lattice.KindServiceNetworkResourceAssociation, v.scope)) {
			associations = append(associations, listedAssociationOf(view, a))
		}
	})
	v.address(associations)
	gatewayTable := list[*listedGateway]{
		id: "gateways", label: "Resource gateways", items: gateways, empty: "There is no resource gateway.",
		key: func(g *listedGateway) string { return g.ID },
		matches: func(g *listedGateway, word string) bool {
			return containsAny(word, g.Name, g.ID, g.VpcID) || matchesTags(g.Tags, word)
		},
		columns: []column[*listedGateway]{
			{name: "Name", by: byText(func(g *listedGateway) string { return g.Name }), cell: func(g *listedGateway) cell {
				return cell{Text: g.Name, Link: v.to("resources", g.ID), Sub: g.ID}
			}},
			{name: "Status", by: byText(func(g *listedGateway) string { return v.status(g).Text }), cell: func(g *listedGateway) cell { return v.status(g) }},
			{name: "VPC", by: byText(func(g *listedGateway) string { return g.VpcID }), cell: func(g *listedGateway) cell { return code(g.VpcID) }},
			{name: "Addresses", cell: func(g *listedGateway) cell { return text(string(g.IPAddressType)) }},
			{name: "Configurations", number: true, by: byNumber(func(g *listedGateway) int { return g.configurations }), cell: func(g *listedGateway) cell { return number(g.configurations) }},
		},
	}.show(v)
	return &content{Title: "Resources", Data: listPage{Table: v.configurationTable("configurations", configurations), More: []*table{gatewayTable, v.associationTable(associations)}, Commands: []command{
		v.command("Create a resource gateway", "CreateResourceGateway", &shape.CreateResourceGatewayRequest{Name: new("NAME"), VpcIdentifier: new("VPC"), SubnetIds: []string{"SUBNET"}}),
		v.command("Create a resource configuration", "CreateResourceConfiguration", &shape.CreateResourceConfigurationRequest{Name: new("NAME"), Type: shape.ResourceConfigurationTypeSingle,
			ResourceGatewayIdentifier: new("GATEWAY"), PortRanges: []string{"5432"}, Protocol: shape.ProtocolTypeTcp,
			ResourceConfigurationDefinition: &shape.ResourceConfigurationDefinition{DnsResource: &shape.DnsResource{DomainName: new("db.example.com"), IpAddressType: "IPV4"}}}),
	}}}, nil
}

// resource is the page of a resource gateway, a resource configuration, or an association.
func (v *visit) resource() (*content, error) {
	id := v.r.PathValue("id")
	kind, _ := lattice.KindOfID(id)
	switch kind {
	case lattice.KindResourceGateway:
		return v.resourceGateway(id)
	case lattice.KindResourceConfiguration:
		return v.resourceConfiguration(id)
	case lattice.KindServiceNetworkResourceAssociation:
		return v.resourceAssociation(id)
	}
	return nil, &missingError{"resource", id}
}

func (v *visit) resourceGateway(id string) (*content, error) {
	var g *lattice.ResourceGateway
	var configurations []*listedConfiguration
	v.read(func(view catalog.View) {
		g, _ = catalog.Get[*lattice.ResourceGateway](view, lattice.ResourceGatewayKey(v.scope, id))
		for c := range catalog.All[*lattice.ResourceConfiguration](view, lattice.All(lattice.KindResourceConfiguration, v.scope)) {
			if c.ResourceGatewayID == id {
				configurations = append(configurations, listedConfigurationOf(view, c))
			}
		}
	})
	if g == nil {
		return nil, &missingError{"resource gateway", id}
	}
	o := v.object(g, "Resource gateway")
	o.Facts = []fact{{"VPC", code(g.VpcID)}, {"Subnets", code(strings.Join(g.SubnetIDs, ", "))}, {"Security groups", orNone(strings.Join(g.SecurityGroupIDs, ", "))},
		{"Addresses", text(string(g.IPAddressType))}, {"Resolves names", text(string(g.DNSResolution))}}
	o.Tables = []*table{v.configurationTable("configurations", configurations)}
	o.Commands = []command{
		v.command("Make it", "CreateResourceGateway", &shape.CreateResourceGatewayRequest{Name: &g.Name, VpcIdentifier: &g.VpcID, SubnetIds: g.SubnetIDs, SecurityGroupIds: g.SecurityGroupIDs, IpAddressType: g.IPAddressType, Tags: g.Tags}),
		v.command("Change it", "UpdateResourceGateway", &shape.UpdateResourceGatewayRequest{ResourceGatewayIdentifier: &g.ID, SecurityGroupIds: g.SecurityGroupIDs}),
		v.command("Delete it", "DeleteResourceGateway", &shape.DeleteResourceGatewayRequest{ResourceGatewayIdentifier: &g.ID}),
	}
	return &content{Title: g.Name, Data: &o}, nil
}

func (v *visit) resourceConfiguration(id string) (*content, error) {
	var c *listedConfiguration
	var children []*listedConfiguration
	var associations []*listedAssociation
	v.read(func(view catalog.View) {
		found, ok := catalog.Get[*lattice.ResourceConfiguration](view, lattice.ResourceConfigurationKey(v.scope, id))
		if !ok {
			return
		}
		c = listedConfigurationOf(view, found)
		for child := range catalog.All[*lattice.ResourceConfiguration](view, lattice.All(lattice.KindResourceConfiguration, v.scope)) {
			if child.GroupID == id {
				children = append(children, listedConfigurationOf(view, child))
			}
		}
		for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](view, lattice.By(lattice.KindServiceNetworkResourceAssociation, v.scope, "resourceconfiguration", id)) {
			associations = append(associations, listedAssociationOf(view, a))
		}
	})
	if c == nil {
		return nil, &missingError{"resource configuration", id}
	}
	v.address(associations)
	o := v.object(c, "Resource configuration")
	o.Facts = []fact{{"Type", text(string(c.Type))}, {"Leads to", cell{Text: definitionWords(c.Definition), Code: true}}, {"Ports", text(cmp.Or(portWords(c.PortRanges), "those of its children"))},
		{"Resource gateway", cell{Text: c.gateway, Link: v.to("resources", c.ResourceGatewayID)}}, {"Custom domain name", orNone(cmp.Or(c.CustomDomainName, c.GroupDomain))}}
	if c.GroupID != "" {
		o.Facts = append(o.Facts, fact{"Group", cell{Text: c.GroupID, Link: v.to("resources", c.GroupID)}})
	}
	if c.IsGroup() {
		o.Tables = append(o.Tables, v.configurationTable("children", children))
	} else { // Connections are counted for the children of a group.
		o.Charts = v.connectionCharts(c.ID)
	}
	o.Tables = append(o.Tables, v.associationTable(associations))
	create := &shape.CreateResourceConfigurationRequest{Name: &c.Name, Type: c.Type, PortRanges: c.PortRanges, Protocol: c.Protocol, ResourceConfigurationDefinition: c.Definition, Tags: c.Tags}
	if c.GroupID == "" {
		create.ResourceGatewayIdentifier = &c.ResourceGatewayID
	} else {
		create.ResourceConfigurationGroupIdentifier = &c.GroupID
	}
	if c.CustomDomainName != "" {
		create.CustomDomainName = &c.CustomDomainName
	}
	o.Commands = []command{
		v.command("Make it", "CreateResourceConfiguration", create),
		v.command("Put it into a service network", "CreateServiceNetworkResourceAssociation", &shape.CreateServiceNetworkResourceAssociationRequest{ResourceConfigurationIdentifier: &c.ID, ServiceNetworkIdentifier: new("NETWORK")}),
		v.command("Delete it", "DeleteResourceConfiguration", &shape.DeleteResourceConfigurationRequest{ResourceConfigurationIdentifier: &c.ID}),
	}
	if c.Definition != nil {
		o.Commands = append(o.Commands, v.command("Change its ports", "UpdateResourceConfiguration", &shape.UpdateResourceConfigurationRequest{ResourceConfigurationIdentifier: &c.ID, PortRanges: c.PortRanges}))
	}
	return &content{Title: c.Name, Data: &o}, nil
}

func (v *visit) resourceAssociation(id string) (*content, error) {
	var a *listedAssociation
	v.read(func(view catalog.View) {
		if found, ok := catalog.Get[*lattice.ServiceNetworkResourceAssociation](view, lattice.ServiceNetworkResourceAssociationKey(v.scope, id)); ok {
			a = listedAssociationOf(view, found)
		}
	})
	if a == nil {
		return nil, &missingError{"association", id}
	}
	v.address([]*listedAssociation{a})
	o := v.object(a, "Association of a resource configuration")
	o.Facts = []fact{{"Resource configuration", cell{Text: a.configuration, Link: v.to("resources", a.ResourceConfigurationID)}},
		{"Service network", cell{Text: a.network, Link: v.to("service-networks", a.ServiceNetworkID)}}, {"Name and address", addressCell(a)},
		{"Private name", text(map[bool]string{true: "clients find it", false: "off"}[a.PrivateDNSEnabled])}}
	o.Charts = v.connectionCharts(a.ID)
	o.Tables = []*table{v.wayTable(a)}
	o.Commands = []command{
		v.command("Make it", "CreateServiceNetworkResourceAssociation", &shape.CreateServiceNetworkResourceAssociationRequest{ResourceConfigurationIdentifier: &a.ResourceConfigurationID, ServiceNetworkIdentifier: &a.ServiceNetworkID, Tags: a.Tags}),
		v.command("Delete it", "DeleteServiceNetworkResourceAssociation", &shape.DeleteServiceNetworkResourceAssociationRequest{ServiceNetworkResourceAssociationIdentifier: &a.ID}),
	}
	return &content{Title: a.configuration + " in " + a.network, Data: &o}, nil
}

// way is an address at which clients reach a resource.
type way struct {
	address netip.Addr
	route   *routing.ResourceRoute
	state   proxy.ResourceState
}

// wayTable shows each address of an association with how it can be reached, and what has failed there last.
func (v *visit) wayTable(a *listedAssociation) *table {
	var ways []*way
	for _, r := range a.ways {
		for _, address := range r.Addresses {
			ways = append(ways, &way{address, r.Route(), v.cfg.Resource(r, address)})
		}
	}
	return list[*way]{
		id: "addresses", label: "Addresses", items: ways, empty: "It has no address: no client reaches it.",
		key:     func(w *way) string { return strings.NewReplacer(".", "-", ":", "-").Replace(w.address.String()) },
		matches: func(w *way, word string) bool { return containsAny(word, w.address.String()) },
		columns: []column[*way]{
			{name: "Address", tight: true, cell: func(w *way) cell {
				return cell{Text: w.address.String(), Link: v.to("explain") + "?address=" + url.QueryEscape(w.address.String()), Sub: cmp.Or(w.route.EndpointID, "from associated VPCs")}
			}},
			{name: "Ports", cell: func(w *way) cell { return openCell(&w.state) }},
			{name: "Last failure", cell: func(w *way) cell { return lastFailureCell(&w.state) }},
		},
	}.show(v)
}

// openCell shows which ports of an address are open.
func openCell(state *proxy.ResourceState) cell {
	var open []string
	for _, r := range state.Open {
		if r.From == r.To {
			open = append(open, fmt.Sprint(r.From))
		} else {
			open = append(open, fmt.Sprintf("%d–%d", r.From, r.To))
		}
	}
	c := cell{Text: "open: " + strings.Join(open, ", "), Mark: "good", Sub: state.Closed}
	if len(open) == 0 {
		c.Text, c.Mark = "none is open", "bad"
	}
	for _, port := range slices.Sorted(maps.Keys(state.Problems)) {
		c.Mark = "bad"
		c.More = append(c.More, cell{Text: fmt.Sprintf("%d: %s", port, state.Problems[port])})
	}
	return c
}

// lastFailureCell shows the last failure at an address.
func lastFailureCell(state *proxy.ResourceState) cell {
	failure := state.Failure
	if failure == nil {
		return text("none")
	}
	return cell{Text: ago(failure.Time), Mark: "bad", Sub: fmt.Sprintf("%s to %s: %s; %s", failure.Source, failure.Destination, failure.Problem, count(int(failure.Count), "failure", "failures"))}
}
