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
	// What is wrong comes first, then what is busy.
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

// trafficColumns are the figures of what has traffic.
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
		all = append(all, fmt.Sprintf("%s:%d", l.Protocol, l.Port))
	}
	return text(strings.Join(all, ", "))
}

func (v *visit) services() (*content, error) {
	return &content{Title: "Services", Data: listPage{Table: v.serviceList(v.listedServices()).show(v), Commands: []command{
		v.command("Create a service", "CreateService", &shape.CreateServiceRequest{Name: new("NAME"), AuthType: shape.AuthTypeNone}),
	}}}, nil
}

// listPage is a page that is a list.
type listPage struct {
	Table    *table
	Commands []command
	// More are further lists.
	More []*table
}

// servicePage is the page of a service: an object with listeners.
type servicePage struct {
	object
	// Host is the name that clients know.
	Host      string
	Listeners []listenerPart
}

// listenerPart is a listener with its rules, the default rule last.
type listenerPart struct {
	ID, Name, Protocol string
	Port               int32
	Bound              string
	Rules              []rulePart
	Commands           []command
	// Try is a command line that sends a request.
	Try string
}

// rulePart is a rule of a listener.
type rulePart struct {
	ID, Name, Priority string
	Match              []string
	// Fixed is the status of a fixed response, or 0.
	Fixed    int32
	Forwards []forwardPart
	Commands []command
	// Listener is set for a default rule, whose action is the listener's.
	Service, Listener string
	IsDefault         bool
}

// forwardPart is a target group to which a rule forwards.
type forwardPart struct {
	ID, Name, Link string
	Weight         int32
	Share          string
	Health         cell
	// Traffic is what the target group gets, by all rules that lead to it.
	Traffic string
}

func (v *visit) service() (*content, error) {
	id := v.r.PathValue("id")
	var s *lattice.Service
	var listeners []*lattice.Listener
	rules := map[string][]*lattice.Rule{}
	groups := map[string]*listedGroup{}
	var associations []*lattice.ServiceNetworkServiceAssociation
	networks := map[string]*lattice.ServiceNetwork{}
	var logs []*lattice.AccessLogSubscription
	v.read(func(view catalog.View) {
		var ok bool
		if s, ok = catalog.Get[*lattice.Service](view, lattice.ServiceKey(v.scope, id)); !ok {
			return
		}
		for l := range catalog.All[*lattice.Listener](view, lattice.By(lattice.KindListener, v.scope, "service", id)) {
			listeners = append(listeners, l)
			for r := range catalog.All[*lattice.Rule](view, lattice.By(lattice.KindRule, v.scope, "listener", l.ID)) {
				rules[l.ID] = append(rules[l.ID], r)
				for _, group := range r.TargetGroupIDs {
					if g, ok := listedGroupOf(view, v.scope, group); ok {
						groups[group] = g
					}
				}
			}
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
		p.Listeners = append(p.Listeners, v.listener(s, l, rules[l.ID], groups))
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

func (v *visit) listener(s *lattice.Service, l *lattice.Listener, rules []*lattice.Rule, groups map[string]*listedGroup) listenerPart {
	p := listenerPart{ID: l.ID, Name: l.Name, Protocol: string(l.Protocol), Port: l.Port, Bound: v.cfg.Bound(int(l.Port))}
	slices.SortFunc(rules, func(a, b *lattice.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	var fallback *shape.RuleAction
	for _, r := range rules {
		if r.IsDefault {
			fallback = r.Action
		}
		p.Rules = append(p.Rules, v.rule(s, l, r, groups))
	}
	if p.Bound != "" && l.Protocol == shape.ListenerProtocolHttp {
		p.Try = fmt.Sprintf("curl -i -H 'Host: %s' http://%s/", cmp.Or(s.CustomDomainName, s.DomainName), p.Bound)
	}
	p.Commands = []command{
		v.command("Make the listener", "CreateListener", &shape.CreateListenerRequest{ServiceIdentifier: &s.ID, Name: &l.Name, Protocol: l.Protocol, Port: &l.Port, DefaultAction: fallback}),
		v.command("Add a rule", "CreateRule", &shape.CreateRuleRequest{ServiceIdentifier: &s.ID, ListenerIdentifier: &l.ID, Name: new("NAME"), Priority: new(int32(10)),
			Match:  &shape.RuleMatch{HttpMatch: &shape.HttpMatch{PathMatch: &shape.PathMatch{Match: &shape.PathMatchType{Prefix: new("/path")}}}},
			Action: &shape.RuleAction{FixedResponse: &shape.FixedResponseAction{StatusCode: new(int32(404))}}}),
		v.command("Delete the listener", "DeleteListener", &shape.DeleteListenerRequest{ServiceIdentifier: &s.ID, ListenerIdentifier: &l.ID}),
	}
	return p
}

func (v *visit) rule(s *lattice.Service, l *lattice.Listener, r *lattice.Rule, groups map[string]*listedGroup) rulePart {
	p := rulePart{ID: r.ID, Name: r.Name, Priority: fmt.Sprint(r.Priority), Match: matchWords(r.Match), Service: s.ID, Listener: l.ID, IsDefault: r.IsDefault}
	if r.IsDefault {
		p.Priority = "last"
		p.Commands = []command{v.command("Change the default action", "UpdateListener", &shape.UpdateListenerRequest{ServiceIdentifier: &s.ID, ListenerIdentifier: &l.ID, DefaultAction: r.Action})}
	} else {
		p.Commands = []command{
			v.command("Make the rule", "CreateRule", &shape.CreateRuleRequest{ServiceIdentifier: &s.ID, ListenerIdentifier: &l.ID, Name: &r.Name, Priority: &r.Priority, Match: r.Match, Action: r.Action}),
			v.command("Change the rule", "UpdateRule", &shape.UpdateRuleRequest{ServiceIdentifier: &s.ID, ListenerIdentifier: &l.ID, RuleIdentifier: &r.ID, Action: r.Action}),
			v.command("Delete the rule", "DeleteRule", &shape.DeleteRuleRequest{ServiceIdentifier: &s.ID, ListenerIdentifier: &l.ID, RuleIdentifier: &r.ID}),
		}
	}
	if r.Action == nil {
		return p
	}
	if r.Action.FixedResponse != nil {
		p.Fixed = value(r.Action.FixedResponse.StatusCode)
	}
	if r.Action.Forward == nil {
		return p
	}
	total := int32(0)
	for _, to := range r.Action.Forward.TargetGroups {
		total += value(to.Weight)
	}
	for i, to := range r.Action.Forward.TargetGroups {
		f := forwardPart{ID: r.TargetGroupIDs[i], Weight: value(to.Weight), Link: v.to("target-groups", r.TargetGroupIDs[i])}
		f.Name = f.ID
		if total > 0 {
			f.Share = percent(float64(f.Weight) / float64(total))
		}
		if g, ok := groups[f.ID]; ok {
			f.Name, f.Health = g.Name, v.groupHealth(g)
			if t := v.samples.traffic(g.ID); t.Requests > 0 {
				f.Traffic = fmt.Sprintf("%s requests/s, %s 5xx", rate(t.Rate), percent(t.Failures))
			}
		}
		p.Forwards = append(p.Forwards, f)
	}
	return p
}

// matchWords says what a rule matches.
func matchWords(m *shape.RuleMatch) []string {
	if m == nil || m.HttpMatch == nil {
		return []string{"every other request"}
	}
	var found []string
	h := m.HttpMatch
	if h.Method != nil {
		found = append(found, "method is "+*h.Method)
	}
	if p := h.PathMatch; p != nil && p.Match != nil {
		words := "path is " + value(p.Match.Exact)
		if p.Match.Prefix != nil {
			words = "path begins with " + *p.Match.Prefix
		}
		found = append(found, words+caseWords(p.CaseSensitive))
	}
	for _, header := range h.HeaderMatches {
		words := "header " + value(header.Name)
		if match := header.Match; match != nil {
			switch {
			case match.Exact != nil:
				words += " is " + *match.Exact
			case match.Prefix != nil:
				words += " begins with " + *match.Prefix
			case match.Contains != nil:
				words += " contains " + *match.Contains
			}
		}
		found = append(found, words+caseWords(header.CaseSensitive))
	}
	return found
}

func caseWords(sensitive *bool) string {
	if value(sensitive) {
		return " (upper and lower case differ)"
	}
	return ""
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
