package console

import (
	"strings"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// listedNetwork is a service network as the list shows it.
type listedNetwork struct {
	*lattice.ServiceNetwork
	services, vpcs, resources int
}

func (v *visit) serviceNetworks() (*content, error) {
	var found []*listedNetwork
	v.read(func(view catalog.View) {
		for n := range catalog.All[*lattice.ServiceNetwork](view, lattice.All(lattice.KindServiceNetwork, v.scope)) {
			of := func(kind lattice.Kind) int { return view.Count(lattice.By(kind, v.scope, "servicenetwork", n.ID)) }
			found = append(found, &listedNetwork{n, of(lattice.KindServiceNetworkServiceAssociation), of(lattice.KindServiceNetworkVpcAssociation), of(lattice.KindServiceNetworkResourceAssociation)})
		}
	})
	t := list[*listedNetwork]{
		label: "Service networks", items: found, key: func(n *listedNetwork) string { return n.ID },
		empty: "There is no service network in this account and Region.",
		matches: func(n *listedNetwork, word string) bool {
			return containsAny(word, n.Name, n.ID) || matchesTags(n.Tags, word)
		},
		columns: []column[*listedNetwork]{
			{name: "Name", by: byText(func(n *listedNetwork) string { return n.Name }), cell: func(n *listedNetwork) cell {
				return cell{Text: n.Name, Link: v.to("service-networks", n.ID), Sub: n.ID}
			}},
			{name: "Auth type", by: byText(func(n *listedNetwork) string { return string(n.AuthType) }), cell: func(n *listedNetwork) cell { return text(string(n.AuthType)) }},
			{name: "Services", number: true, by: byNumber(func(n *listedNetwork) int { return n.services }), cell: func(n *listedNetwork) cell { return number(n.services) }},
			{name: "VPCs", number: true, by: byNumber(func(n *listedNetwork) int { return n.vpcs }), cell: func(n *listedNetwork) cell { return number(n.vpcs) }},
			{name: "Resources", number: true, by: byNumber(func(n *listedNetwork) int { return n.resources }), cell: func(n *listedNetwork) cell { return number(n.resources) }},
		},
	}.show(v)
	return &content{Title: "Service networks", Data: listPage{Table: t, Commands: []command{
		v.command("Create a service network", "CreateServiceNetwork", &shape.CreateServiceNetworkRequest{Name: new("NAME"), AuthType: shape.AuthTypeNone}),
	}}}, nil
}

func (v *visit) serviceNetwork() (*content, error) {
	id := v.r.PathValue("id")
	var n *lattice.ServiceNetwork
	type member struct {
		*lattice.ServiceNetworkServiceAssociation
		name    string
		traffic traffic
	}
	var services []*member
	var vpcs []*lattice.ServiceNetworkVpcAssociation
	type resource struct {
		*lattice.ServiceNetworkResourceAssociation
		name string
	}
	var resources []*resource
	var logs []*lattice.AccessLogSubscription
	v.read(func(view catalog.View) {
		var ok bool
		if n, ok = catalog.Get[*lattice.ServiceNetwork](view, lattice.ServiceNetworkKey(v.scope, id)); !ok {
			return
		}
		for a := range catalog.All[*lattice.ServiceNetworkServiceAssociation](view, lattice.By(lattice.KindServiceNetworkServiceAssociation, v.scope, "servicenetwork", id)) {
			m := &member{ServiceNetworkServiceAssociation: a, name: a.ServiceID}
			if s, ok := catalog.Get[*lattice.Service](view, lattice.ServiceKey(v.scope, a.ServiceID)); ok {
				m.name = s.Name
			}
			services = append(services, m)
		}
		for a := range catalog.All[*lattice.ServiceNetworkVpcAssociation](view, lattice.By(lattice.KindServiceNetworkVpcAssociation, v.scope, "servicenetwork", id)) {
			vpcs = append(vpcs, a)
		}
		for a := range catalog.All[*lattice.ServiceNetworkResourceAssociation](view, lattice.By(lattice.KindServiceNetworkResourceAssociation, v.scope, "servicenetwork+children", id)) {
			r := &resource{a, a.ResourceConfigurationID}
			if c, ok := catalog.Get[*lattice.ResourceConfiguration](view, lattice.ResourceConfigurationKey(v.scope, a.ResourceConfigurationID)); ok {
				r.name = c.Name
			}
			resources = append(resources, r)
		}
		logs = logsOf(view, v.scope, id)
	})
	if n == nil {
		return nil, &missingError{"service network", id}
	}
	members := map[string]bool{} // ARNs
	for _, s := range services {
		s.traffic = v.samples.traffic(s.ServiceID)
		members[lattice.FormatARN(v.scope, "service/"+s.ServiceID)] = true
	}
	o := v.object(n, "Service network")
	sharing := "can be shared with other accounts"
	if !n.IsShareable() {
		sharing = "cannot be shared with other accounts"
	}
	o.Facts = append(o.Facts, fact{"Auth type", authCell(n.AuthType)}, fact{"Sharing", text(sharing)})
	o.Charts = v.charts(n.ID)
	o.Tables = []*table{
		list[*member]{
			id: "services", label: "Services", items: services, empty: "No service is associated: clients of this network reach nothing.",
			key:     func(m *member) string { return m.ID },
			matches: func(m *member, word string) bool { return containsAny(word, m.name, m.ServiceID, m.ID) },
			columns: append([]column[*member]{
				{name: "Service", by: byText(func(m *member) string { return m.name }), cell: func(m *member) cell {
					return cell{Text: m.name, Link: v.to("services", m.ServiceID), Sub: m.ServiceID}
				}},
				{name: "Association", cell: func(m *member) cell { c := v.status(m); c.Sub = m.ID; return c }},
			}, trafficColumns(func(m *member) traffic { return m.traffic })...),
		}.show(v),
		list[*lattice.ServiceNetworkVpcAssociation]{
			id: "vpcs", label: "VPCs", items: vpcs, empty: "No VPC is associated.",
			key: func(a *lattice.ServiceNetworkVpcAssociation) string { return a.ID },
			matches: func(a *lattice.ServiceNetworkVpcAssociation, word string) bool {
				return containsAny(word, a.VpcID, a.ID)
			},
			columns: []column[*lattice.ServiceNetworkVpcAssociation]{
				{name: "VPC", by: byText(func(a *lattice.ServiceNetworkVpcAssociation) string { return a.VpcID }), cell: func(a *lattice.ServiceNetworkVpcAssociation) cell { return code(a.VpcID) }},
				{name: "Association", cell: func(a *lattice.ServiceNetworkVpcAssociation) cell { c := v.status(a); c.Sub = a.ID; return c }},
				{name: "Security groups", cell: func(a *lattice.ServiceNetworkVpcAssociation) cell {
					return orNone(strings.Join(a.SecurityGroupIDs, ", "))
				}},
			},
		}.show(v),
		list[*resource]{
			id: "resources", label: "Resources", items: resources, empty: "No resource configuration is associated.",
			key:     func(r *resource) string { return r.ID },
			matches: func(r *resource, word string) bool { return containsAny(word, r.name, r.ID, r.DomainName) },
			columns: []column[*resource]{
				{name: "Resource configuration", by: byText(func(r *resource) string { return r.name }), cell: func(r *resource) cell {
					return cell{Text: r.name, Link: v.to("resources", r.ResourceConfigurationID), Sub: r.ResourceConfigurationID}
				}},
				{name: "Association", cell: func(r *resource) cell { c := v.status(r); c.Sub = r.ID; return c }},
				{name: "Name for clients", cell: func(r *resource) cell { return orNone(r.DomainName) }},
			},
		}.show(v),
		logTable(v, logs),
		v.failures("failures", "Last failed exchanges", func(f *delivery.Failure) bool { return members[f.Service] }),
	}
	o.Commands = []command{
		v.command("Make it", "CreateServiceNetwork", &shape.CreateServiceNetworkRequest{Name: &n.Name, AuthType: n.AuthType, SharingConfig: n.SharingConfig, Tags: n.Tags}),
		v.command("Change it", "UpdateServiceNetwork", &shape.UpdateServiceNetworkRequest{ServiceNetworkIdentifier: &n.ID, AuthType: n.AuthType}),
		v.command("Associate a VPC", "CreateServiceNetworkVpcAssociation", &shape.CreateServiceNetworkVpcAssociationRequest{ServiceNetworkIdentifier: &n.ID, VpcIdentifier: new("VPC")}),
		v.command("Delete it", "DeleteServiceNetwork", &shape.DeleteServiceNetworkRequest{ServiceNetworkIdentifier: &n.ID}),
	}
	return &content{Title: n.Name, Data: &o}, nil
}
