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

// loadedListener is a listener with the records that its page needs.
type loadedListener struct {
	*lattice.Listener
	service *lattice.Service
	rules   []*lattice.Rule
	groups  map[string]*listedGroup // those that the rules forward to, by id
}

// load reads the rules of a listener, and their target groups.
func (v *visit) load(view catalog.View, s *lattice.Service, l *lattice.Listener) *loadedListener {
	loaded := &loadedListener{Listener: l, service: s, groups: map[string]*listedGroup{}}
	for r := range catalog.All[*lattice.Rule](view, lattice.By(lattice.KindRule, v.scope, "listener", l.ID)) {
		loaded.rules = append(loaded.rules, r)
		for _, group := range r.TargetGroupIDs {
			if g, ok := listedGroupOf(view, v.scope, group); ok {
				loaded.groups[group] = g
			}
		}
	}
	return loaded
}

// find loads the listener in the path of the request.
func (v *visit) find() (found *loadedListener, err error) {
	service, listener := v.r.PathValue("id"), v.r.PathValue("listener")
	v.read(func(view catalog.View) {
		s, ok := catalog.Get[*lattice.Service](view, lattice.ServiceKey(v.scope, service))
		if !ok {
			return
		}
		if l, ok := catalog.Get[*lattice.Listener](view, lattice.ListenerKey(v.scope, service, listener)); ok {
			found = v.load(view, s, l)
		}
	})
	if found == nil {
		return nil, &missingError{"listener", listener}
	}
	return found, nil
}

// portName is what a listener is called besides its name.
func portName(l *lattice.Listener) string { return fmt.Sprintf("%s:%d", l.Protocol, l.Port) }

func (v *visit) serviceFact(s *lattice.Service) fact {
	return fact{"Service", cell{Text: s.Name, Link: v.to("services", s.ID), Sub: s.ID}}
}

// listener is the page of a listener, which shows what the page of its service does, for one listener.
func (v *visit) listener() (*content, error) {
	l, err := v.find()
	if err != nil {
		return nil, err
	}
	p := &servicePage{object: v.object(l, "Listener"), Host: cmp.Or(l.service.CustomDomainName, l.service.DomainName)}
	p.Facts = append(p.Facts, v.serviceFact(l.service), fact{"Port", text(portName(l.Listener))}, fact{"Rules", number(len(l.rules))})
	p.Charts = v.charts(l.ID)
	part := v.listenerPart(l)
	p.Listeners, p.Commands = []listenerPart{part}, part.Commands
	ids := map[string]bool{}
	for _, r := range l.rules {
		ids[r.ID] = true
	}
	p.Tables = []*table{v.failures("failures", "Last failed exchanges", func(f *delivery.Failure) bool { return f.Service == l.service.ARN() && ids[f.Rule] })}
	return &content{Title: p.Name, Data: p}, nil
}

// rule is the page of a rule.
func (v *visit) rule() (*content, error) {
	l, err := v.find()
	if err != nil {
		return nil, err
	}
	id := v.r.PathValue("rule")
	at := slices.IndexFunc(l.rules, func(r *lattice.Rule) bool { return r.ID == id })
	if at < 0 {
		return nil, &missingError{"rule", id}
	}
	r := l.rules[at]
	part := v.rulePart(l, r)
	o := v.object(r, "Rule")
	o.Facts = append(o.Facts, v.serviceFact(l.service),
		fact{"Listener", cell{Text: portName(l.Listener), Link: v.to("services", l.service.ID, "listeners", l.ID), Sub: l.ID}},
		fact{"Priority", text(part.Priority)}, fact{"Matches", text(strings.Join(part.Match, " and "))})
	if part.Fixed != 0 {
		o.Facts = append(o.Facts, fact{"Fixed response", number(part.Fixed)})
	}
	o.Charts = v.charts(r.ID)
	if len(part.Forwards) > 0 {
		o.Tables = append(o.Tables, list[forwardPart]{
			id: "forwards", label: "Forwards to", items: part.Forwards,
			key:     func(f forwardPart) string { return f.ID },
			matches: func(f forwardPart, word string) bool { return containsAny(word, f.Name, f.ID) },
			columns: []column[forwardPart]{
				{name: "Target group", cell: func(f forwardPart) cell { return cell{Text: f.Name, Link: f.Link, Sub: f.ID} }},
				{name: "Weight", number: true, cell: func(f forwardPart) cell { return number(f.Weight) }},
				{name: "Share", number: true, cell: func(f forwardPart) cell { return text(f.Share) }},
				{name: "Targets", cell: func(f forwardPart) cell { return f.Health }},
				{name: "Traffic of the target group", cell: func(f forwardPart) cell { return text(cmp.Or(f.Traffic, "none")) }},
			},
		}.show(v))
	}
	o.Tables = append(o.Tables, v.failures("failures", "Last failed exchanges", func(f *delivery.Failure) bool { return f.Service == l.service.ARN() && f.Rule == r.ID }))
	o.Commands = part.Commands
	return &content{Title: o.Name, Data: o}, nil
}

// listenerPart is a listener with its rules, the default rule last.
type listenerPart struct {
	ID, Name, Protocol, Link string
	Port                     int32
	Bound                    string
	Rules                    []rulePart
	Commands                 []command
	// Try is a command line that sends a request.
	Try string
}

// rulePart is a rule of a listener.
type rulePart struct {
	ID, Name, Priority, Link string
	Match                    []string
	// Traffic is what the rule has matched lately.
	Traffic string
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

func (v *visit) listenerPart(of *loadedListener) listenerPart {
	s, l, rules := of.service, of.Listener, of.rules
	p := listenerPart{ID: l.ID, Name: l.Name, Link: v.to("services", s.ID, "listeners", l.ID), Protocol: string(l.Protocol), Port: l.Port, Bound: v.cfg.Bound(int(l.Port))}
	slices.SortFunc(rules, func(a, b *lattice.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	var fallback *shape.RuleAction
	for _, r := range rules {
		if r.IsDefault {
			fallback = r.Action
		}
		p.Rules = append(p.Rules, v.rulePart(of, r))
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

func (v *visit) rulePart(of *loadedListener, r *lattice.Rule) rulePart {
	s, l := of.service, of.Listener
	p := rulePart{ID: r.ID, Name: r.Name, Priority: fmt.Sprint(r.Priority), Match: matchWords(r.Match), Service: s.ID, Listener: l.ID, IsDefault: r.IsDefault,
		Link: v.to("services", s.ID, "listeners", l.ID, "rules", r.ID), Traffic: v.trafficWords(r.ID)}
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
		if g, ok := of.groups[f.ID]; ok {
			f.Name, f.Health, f.Traffic = g.Name, v.groupHealth(g), v.trafficWords(g.ID)
		}
		p.Forwards = append(p.Forwards, f)
	}
	return p
}

// trafficWords says what traffic something has. It is empty for none.
func (v *visit) trafficWords(id string) string {
	t := v.samples.traffic(id)
	if t.Requests == 0 {
		return ""
	}
	return fmt.Sprintf("%s requests/s, %s 5xx, p99 %s", rate(t.Rate), percent(t.Failures), latency(t.Slow))
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
