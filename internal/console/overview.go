package console

import (
	"cmp"
	"fmt"
	"strings"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// overview is the first page: it begins with problems.
type overview struct {
	Problems []cell
	// Others counts the problems that are not shown.
	Others   int
	Figures  []figure
	Busiest  *table
	Failures *table
	Node     []fact
}

// figure is a number that leads somewhere.
type figure struct {
	Name, Value, Link string
	Note              cell
}

// fact is a property of a resource: its name and its value.
type fact struct {
	Name  string
	Value cell
}

// shownProblems bounds how many problems are shown.
const shownProblems = 20

func (v *visit) overview() (*content, error) {
	o := &overview{}
	for _, p := range v.cfg.Problems() {
		if len(o.Problems) == shownProblems {
			o.Others++
			continue
		}
		o.Problems = append(o.Problems, v.problem(p))
	}
	counts := map[lattice.Kind]int{}
	v.read(func(view catalog.View) {
		for _, kind := range []lattice.Kind{lattice.KindServiceNetwork, lattice.KindService, lattice.KindTargetGroup, lattice.KindResourceConfiguration} {
			counts[kind] = view.Count(lattice.All(kind, v.scope))
		}
	})
	services, groups := v.listedServices(), v.listedGroups()
	targets := map[shape.TargetStatus]int{}
	total := 0
	for _, g := range groups {
		for status, n := range g.counts {
			targets[status] += n
			total += n
		}
	}
	all := traffic{}
	for _, s := range services {
		all.Rate += s.traffic.Rate
		all.Requests += s.traffic.Requests
		all.Failures += s.traffic.Failures * float64(s.traffic.Requests)
	}
	if all.Requests > 0 {
		all.Failures /= float64(all.Requests)
	}
	note := cell{}
	if all.Requests > 0 {
		note = cell{Text: percent(all.Failures) + " errors", Mark: "good"}
		if all.Failures > 0 {
			note.Mark = "bad"
		}
	}
	o.Figures = []figure{
		{"Service networks", grouped(int64(counts[lattice.KindServiceNetwork])), v.to("service-networks"), cell{}},
		{"Services", grouped(int64(counts[lattice.KindService])), v.to("services"), cell{}},
		{"Target groups", grouped(int64(counts[lattice.KindTargetGroup])), v.to("target-groups"), cell{}},
		{"Targets", grouped(int64(total)), v.to("target-groups") + "?sort=health", healthNote(targets, total)},
		{"Resources", grouped(int64(counts[lattice.KindResourceConfiguration])), v.to("resources"), cell{}},
		{"Requests per second", rate(all.Rate), v.to("services") + "?sort=-requestss", note},
	}
	o.Busiest = v.busiest(services)
	o.Failures = v.failures("failures", "Last failed exchanges", func(f *delivery.Failure) bool { return v.isMine(f.Service) })
	o.Node = v.node()
	return &content{Title: "Overview", Data: o}, nil
}

func healthNote(counts map[shape.TargetStatus]int, total int) cell {
	if total == 0 {
		return cell{}
	}
	return healthCell(counts)
}

// problem is a line about a problem, with a link to what has it.
func (v *visit) problem(p Problem) cell {
	c := cell{Text: capital(p.Text), Mark: "bad"}
	if section, ok := sections()[lattice.Kind(p.About)]; ok && p.ID != "" {
		c.Link = pathOf(p.Scope) + section + "/" + p.ID
	}
	return c
}

// sections are the parts of the console in which resources have pages of their own.
func sections() map[lattice.Kind]string {
	return map[lattice.Kind]string{
		lattice.KindServiceNetwork: "service-networks", lattice.KindService: "services", lattice.KindTargetGroup: "target-groups",
		lattice.KindResourceConfiguration: "resources", lattice.KindResourceGateway: "resources", lattice.KindServiceNetworkResourceAssociation: "resources",
	}
}

// isMine reports whether an ARN is in the visit's scope. An empty one is.
func (v *visit) isMine(arn string) bool {
	if arn == "" {
		return true
	}
	parsed, ok := lattice.ParseARN(arn)
	return ok && parsed.Scope == v.scope
}

func (v *visit) busiest(services []*listedService) *table {
	l := v.serviceList(services)
	var busy []*listedService
	for _, s := range services {
		if s.traffic.Requests > 0 {
			busy = append(busy, s)
		}
	}
	l.id, l.label, l.items, l.empty = "busiest", "Services with traffic", busy, "No service has had a request in the last half minute."
	t := l.show(v)
	t.FilterName = "" // The list is short, and not sorted again: its order matters.
	for i := range t.Headings {
		t.Headings[i].Link = ""
	}
	t.Previous, t.Next = "", ""
	if len(t.Rows) > 5 {
		t.Rows = t.Rows[:5]
	}
	return t
}

func (v *visit) node() []fact {
	mode := "serve: anybody who reaches this port may read; changes need a sign-in"
	if v.cfg.Dev {
		mode = "dev: anybody who reaches this port may change things"
	}
	facts := []fact{{"Mode", text(mode)}, {"API", code(v.cfg.API)}, {"Records", text(v.cfg.Store)}}
	for _, port := range v.cfg.Router.Ports() {
		c := code(v.cfg.Bound(port.Number))
		if c.Text == "" {
			c = cell{Text: "not bound", Mark: "bad"}
		}
		facts = append(facts, fact{fmt.Sprintf("Listener port %d", port.Number), c})
	}
	return facts
}

// failures returns a table of the last failed exchanges.
func (v *visit) failures(id, label string, wants func(*delivery.Failure) bool) *table {
	failed := v.cfg.Failed.LastFailures(200, wants)
	t := list[delivery.Failure]{
		id: id, label: label, items: failed, empty: "This node remembers no failed exchange.",
		key: func(f delivery.Failure) string { return f.RequestID + f.At.UTC().Format("150405.000000000") },
		matches: func(f delivery.Failure, word string) bool {
			return containsAny(word, string(f.Reason), f.Problem, f.Path, f.Host, f.ServiceName, f.Target, f.RequestID)
		},
		columns: []column[delivery.Failure]{
			{name: "When", tight: true, cell: func(f delivery.Failure) cell { return cell{Text: ago(f.At), Sub: f.At.UTC().Format("15:04:05 UTC")} }},
			{name: "Request", cell: func(f delivery.Failure) cell {
				return cell{Text: strings.TrimSpace(f.Method + " " + f.Path), Code: true, Sub: cmp.Or(f.ServiceName, f.Host)}
			}},
			{name: "Status", number: true, cell: func(f delivery.Failure) cell {
				if f.Status == 0 {
					return text("none")
				}
				return text(fmt.Sprint(f.Status))
			}},
			{name: "Reason", cell: func(f delivery.Failure) cell { return cell{Text: reasonOf(f), Sub: f.Problem} }},
			{name: "Target", tight: true, cell: func(f delivery.Failure) cell {
				c := cell{Text: f.TargetGroupName, Sub: f.Target}
				if arn, ok := lattice.ParseARN(f.TargetGroup); ok {
					c.Link = pathOf(arn.Scope) + "target-groups/" + arn.ID()
				}
				return c
			}},
			{name: "Client", cell: func(f delivery.Failure) cell { return cell{Text: f.Source, Code: true, Sub: f.Caller} }},
		},
	}.show(v)
	return t
}

// reasonOf says why an exchange failed.
func reasonOf(f delivery.Failure) string {
	switch {
	case f.Denied != "":
		return fmt.Sprintf("%s: denied by %s policy", f.Reason, strings.ToLower(string(f.Denied)))
	case f.Reason != "":
		return string(f.Reason)
	default:
		return "The target responded with it"
	}
}
