package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// listedService is a service as lists show it.
type listedService struct {
	*lattice.Service
	listeners []*lattice.Listener
	networks  int
	traffic   traffic
}

func (v *visit) listedServices() []*listedService {
	var found []*listedService
	v.read(func(view catalog.View) {
		for s := range catalog.All[*lattice.Service](view, lattice.All(lattice.KindService, v.scope)) {
			found = append(found, &listedService{
				Service:   s,
				listeners: slices.Collect(catalog.All[*lattice.Listener](view, lattice.By(lattice.KindListener, v.scope, "service", s.ID))),
				networks:  view.Count(lattice.By(lattice.KindServiceNetworkServiceAssociation, v.scope, "service", s.ID)),
			})
		}
	})
	for _, s := range found {
		s.traffic = v.samples.traffic(s.ID)
	}
	// Services with problems come first, then those with the most traffic.
	slices.SortStableFunc(found, func(a, b *listedService) int {
		return cmp.Or(
			-compareBool(v.hasProblem(a), v.hasProblem(b)), -cmp.Compare(a.traffic.Failures, b.traffic.Failures), -cmp.Compare(a.traffic.Rate, b.traffic.Rate),
			strings.Compare(a.Name, b.Name))
	})
	return found
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func (v *visit) hasProblem(s *listedService) bool { return v.status(s.Service).Mark == "bad" }

func (v *visit) serviceList(services []*listedService) list[*listedService] {
	return list[*listedService]{
		label: "Services", items: services, key: func(s *listedService) string { return s.ID },
		empty: "There is no service in this account and Region.",
		matches: func(s *listedService, word string) bool {
			return containsAny(word, s.Name, s.ID, s.CustomDomainName, s.DomainName, v.status(s.Service).Text) || matchesTags(s.Tags, word)
		},
		columns: append([]column[*listedService]{
			{name: "Name", by: byText(func(s *listedService) string { return s.Name }), cell: func(s *listedService) cell {
				return cell{Text: s.Name, Link: v.to("services", s.ID), Sub: s.ID}
			}},
			{name: "Status", by: byText(func(s *listedService) string { return v.status(s.Service).Text }), cell: func(s *listedService) cell { return v.status(s.Service) }},
			{name: "Listeners", cell: func(s *listedService) cell { return listenersCell(s.listeners) }},
			{name: "Networks", number: true, by: byNumber(func(s *listedService) int { return s.networks }), cell: func(s *listedService) cell { return number(s.networks) }},
		}, trafficColumns(func(s *listedService) traffic { return s.traffic })...),
	}
}

// trafficColumns are the columns with traffic, for services and target groups.
func trafficColumns[T any](of func(T) traffic) []column[T] {
	return []column[T]{
		{name: "Requests/s", number: true, by: byNumber(func(item T) float64 { return of(item).Rate }), cell: func(item T) cell { return text(rate(of(item).Rate)) }},
		{name: "5xx", number: true, by: byNumber(func(item T) float64 { return of(item).Failures }), cell: func(item T) cell {
			t := of(item)
			if t.Requests == 0 {
				return text("–")
			}
			c := text(percent(t.Failures))
			if t.Failures > 0 {
				c.Mark = "bad"
			}
			return c
		}},
		{name: "p99", number: true, by: byNumber(func(item T) float64 { return of(item).Slow }), cell: func(item T) cell { return text(latency(of(item).Slow)) }},
	}
}

// matchesTags reports whether a word is a part of a tag, as in team=blue.
func matchesTags(tags map[string]string, word string) bool {
	for key, value := range tags {
		if containsAny(word, key+"="+value) {
			return true
		}
	}
	return false
}

func listenersCell(listeners []*lattice.Listener) cell {
	if len(listeners) == 0 {
		return cell{Text: "none", Mark: "warn"}
	}
	var all []string
	for _, l := range listeners {
		all = append(all, portName(l))
	}
	return text(strings.Join(all, ", "))
}

func (v *visit) services() (*content, error) {
	return &content{Title: "Services", Data: listPage{Table: v.serviceList(v.listedServices()).show(v), Commands: []command{
		v.command("Create a service", "CreateService", &shape.CreateServiceRequest{Name: new("NAME"), AuthType: shape.AuthTypeNone}),
	}}}, nil
}

// listPage is a page with a list.
type listPage struct {
	Table    *table
	Commands []command
	// More are further lists.
	More []*table
}

// servicePage is the page of a service: an object with listeners.
type servicePage struct {
	object
	// Host is the name that clients use.
	Host      string
	Listeners []listenerPart
}

func (v *visit) service() (*content, error) {
	id := v.r.PathValue("id")
	var s *lattice.Service
	var listeners []*loadedListener
	var associations []*lattice.ServiceNetworkServiceAssociation
	networks := map[string]*lattice.ServiceNetwork{}
	var logs []*lattice.AccessLogSubscription
	v.read(func(view catalog.View) {
		var ok bool
		if s, ok = catalog.Get[*lattice.Service](view, lattice.ServiceKey(v.scope, id)); !ok {
			return
		}
		for l := range catalog.All[*lattice.Listener](view, lattice.By(lattice.KindListener, v.scope, "service", id)) {
			listeners = append(listeners, v.load(view, s, l))
		}
		for a := range catalog.All[*lattice.ServiceNetworkServiceAssociation](view, lattice.By(lattice.KindServiceNetworkServiceAssociation, v.scope, "service", id)) {
			associations = append(associations, a)
			if n, ok := catalog.Get[*lattice.ServiceNetwork](view, lattice.ServiceNetworkKey(v.scope, a.ServiceNetworkID)); ok {
				networks[n.ID] = n
			}
		}
		logs = logsOf(view, v.scope, id)
	})
	if s == nil {
		return nil, &missingError{"service", id}
	}
	p := &servicePage{object: v.object(s, "Service"), Host: cmp.Or(s.CustomDomainName, s.DomainName)}
	p.Facts = append(p.Facts,
		fact{"Domain name", code(s.DomainName)},
		fact{"Custom domain name", orNone(s.CustomDomainName)},
		fact{"Certificate", orNone(s.CertificateARN)},
		fact{"Auth type", authCell(s.AuthType)},
		fact{"Idle timeout", text(fmt.Sprintf("%d s", s.IdleTimeoutSeconds))},
	)
	if s.DomainName == "" {
		p.Facts = slices.DeleteFunc(p.Facts, func(f fact) bool { return f.Name == "Domain name" })
	}
	p.Charts = v.charts(s.ID)
	for _, l := range listeners {
		p.Listeners = append(p.Listeners, v.listenerPart(l))
	}
	p.Tables = []*table{
		list[*lattice.ServiceNetworkServiceAssociation]{
			id: "networks", label: "Service networks", items: associations, empty: "The service is in no service network: no client reaches it.",
			key: func(a *lattice.ServiceNetworkServiceAssociation) string { return a.ID },
			matches: func(a *lattice.ServiceNetworkServiceAssociation, word string) bool {
				return containsAny(word, a.ID, networkName(networks, a.ServiceNetworkID))
			},
			columns: []column[*lattice.ServiceNetworkServiceAssociation]{
				{name: "Service network", cell: func(a *lattice.ServiceNetworkServiceAssociation) cell {
					return cell{Text: networkName(networks, a.ServiceNetworkID), Link: v.to("service-networks", a.ServiceNetworkID), Sub: a.ServiceNetworkID}
				}},
				{name: "Association", cell: func(a *lattice.ServiceNetworkServiceAssociation) cell { return code(a.ID) }},
				{name: "Status", cell: func(a *lattice.ServiceNetworkServiceAssociation) cell { return v.status(a) }},
			},
		}.show(v),
		logTable(v, logs),
		v.failures("failures", "Last failed exchanges", func(f *delivery.Failure) bool { return f.Service == s.ARN() }),
	}
	create := &shape.CreateServiceRequest{Name: &s.Name, AuthType: s.AuthType, Tags: s.Tags}
	if s.CustomDomainName != "" {
		create.CustomDomainName = &s.CustomDomainName
	}
	if s.CertificateARN != "" {
		create.CertificateArn = &s.CertificateARN
	}
	if s.IdleTimeoutSeconds != lattice.DefaultIdleTimeoutSeconds {
		create.IdleTimeoutSeconds = &s.IdleTimeoutSeconds
	}
	p.Commands = []command{
		v.command("Make it", "CreateService", create),
		v.command("Change it", "UpdateService", &shape.UpdateServiceRequest{ServiceIdentifier: &s.ID, AuthType: s.AuthType}),
		v.command("Add a listener", "CreateListener", &shape.CreateListenerRequest{ServiceIdentifier: &s.ID, Name: new("NAME"), Protocol: shape.ListenerProtocolHttp,
			Port: new(int32(80)), DefaultAction: &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(int32(404))}}}),
		v.command("Put it into a service network", "CreateServiceNetworkServiceAssociation",
			&shape.CreateServiceNetworkServiceAssociationRequest{ServiceIdentifier: &s.ID, ServiceNetworkIdentifier: new("NETWORK")}),
		v.command("Delete it", "DeleteService", &shape.DeleteServiceRequest{ServiceIdentifier: &s.ID}),
	}
	return &content{Title: s.Name, Data: p}, nil
}

func networkName(networks map[string]*lattice.ServiceNetwork, id string) string {
	if n, ok := networks[id]; ok {
		return n.Name
	}
	return id
}

func orNone(s string) cell {
	if s == "" {
		return text("none")
	}
	return code(s)
}

func authCell(auth shape.AuthType) cell {
	if auth == shape.AuthTypeAwsIam {
		return cell{Text: "AWS_IAM", Sub: "auth policies decide"}
	}
	return cell{Text: "NONE", Sub: "everybody may send requests"}
}

// logsOf returns the subscriptions of a resource.
func logsOf(view catalog.View, scope lattice.Scope, id string) []*lattice.AccessLogSubscription {
	return slices.Collect(catalog.All[*lattice.AccessLogSubscription](view, lattice.By(lattice.KindAccessLogSubscription, scope, "resource", id)))
}

func logTable(v *visit, logs []*lattice.AccessLogSubscription) *table {
	return list[*lattice.AccessLogSubscription]{
		id: "logs", label: "Access logs", items: logs, empty: "Nobody has subscribed to its access logs.",
		key: func(l *lattice.AccessLogSubscription) string { return l.ID },
		matches: func(l *lattice.AccessLogSubscription, word string) bool {
			return containsAny(word, l.ID, l.DestinationARN)
		},
		columns: []column[*lattice.AccessLogSubscription]{
			{name: "Subscription", cell: func(l *lattice.AccessLogSubscription) cell { return code(l.ID) }},
			{name: "Destination", cell: func(l *lattice.AccessLogSubscription) cell {
				return cell{Text: l.DestinationARN, Code: true, Sub: string(l.DestinationType)}
			}},
			{name: "Of", cell: func(l *lattice.AccessLogSubscription) cell { return text(cmp.Or(string(l.LogType), "all requests")) }},
		},
	}.show(v)
}
