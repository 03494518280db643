package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/health"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// listedGroup is a target group as lists show it.
type listedGroup struct {
	*lattice.TargetGroup
	targets []*lattice.Target
	rules   int // the rules that forward to it
	counts  map[shape.TargetStatus]int
	traffic traffic
}

func listedGroupOf(view catalog.View, scope lattice.Scope, id string) (*listedGroup, bool) {
	g, ok := catalog.Get[*lattice.TargetGroup](view, lattice.TargetGroupKey(scope, id))
	if !ok {
		return nil, false
	}
	found := &listedGroup{TargetGroup: g, rules: view.Count(lattice.By(lattice.KindRule, scope, "targetgroup", id))}
	if t, ok := catalog.Get[*lattice.Targets](view, lattice.TargetsKey(scope, id)); ok {
		found.targets = t.Members
	}
	return found, true
}

// groupHealth counts a group's targets by status.
func (v *visit) groupHealth(g *listedGroup) cell {
	g.counts = map[shape.TargetStatus]int{}
	for _, t := range g.targets {
		status, _ := v.cfg.Checker.Status(t)
		g.counts[status]++
	}
	return healthCell(g.counts)
}

func (v *visit) listedGroups() []*listedGroup {
	var found []*listedGroup
	v.read(func(view catalog.View) {
		for g := range catalog.All[*lattice.TargetGroup](view, lattice.All(lattice.KindTargetGroup, v.scope)) {
			if listed, ok := listedGroupOf(view, v.scope, g.ID); ok {
				found = append(found, listed)
			}
		}
	})
	for _, g := range found {
		v.groupHealth(g)
		g.traffic = v.samples.traffic(g.ID)
	}
	slices.SortStableFunc(found, func(a, b *listedGroup) int {
		return cmp.Or(cmp.Compare(severity(a.counts), severity(b.counts)), -cmp.Compare(a.traffic.Rate, b.traffic.Rate), strings.Compare(a.Name, b.Name))
	})
	return found
}

// severity orders target groups by how much is wrong with their targets.
func severity(counts map[shape.TargetStatus]int) int {
	switch healthCell(counts).Mark {
	case "bad":
		return 0
	case "warn":
		return 1
	case "good":
		return 2
	}
	return 3
}

func (v *visit) targetGroups() (*content, error) {
	t := list[*listedGroup]{
		label: "Target groups", items: v.listedGroups(), key: func(g *listedGroup) string { return g.ID },
		empty: "There is no target group in this account and Region.",
		matches: func(g *listedGroup, word string) bool {
			return containsAny(word, g.Name, g.ID, string(g.Type), healthCell(g.counts).Text) || matchesTags(g.Tags, word) ||
				slices.ContainsFunc(g.targets, func(t *lattice.Target) bool { return containsAny(word, targetName(t.ID, t.Port)) })
		},
		columns: append([]column[*listedGroup]{
			{name: "Name", by: byText(func(g *listedGroup) string { return g.Name }), cell: func(g *listedGroup) cell {
				return cell{Text: g.Name, Link: v.to("target-groups", g.ID), Sub: g.ID}
			}},
			{name: "Health", by: byNumber(func(g *listedGroup) int { return severity(g.counts) }), cell: func(g *listedGroup) cell { return healthCell(g.counts) }},
			{name: "Type", by: byText(func(g *listedGroup) string { return string(g.Type) }), cell: func(g *listedGroup) cell { return text(kindOfGroup(g.TargetGroup)) }},
			{name: "Targets", number: true, by: byNumber(func(g *listedGroup) int { return len(g.targets) }), cell: func(g *listedGroup) cell { return number(len(g.targets)) }},
			{name: "Rules", number: true, by: byNumber(func(g *listedGroup) int { return g.rules }), cell: func(g *listedGroup) cell { return number(g.rules) }},
		}, trafficColumns(func(g *listedGroup) traffic { return g.traffic })...),
	}.show(v)
	return &content{Title: "Target groups", Data: listPage{Table: t, Commands: []command{
		v.command("Create a target group", "CreateTargetGroup", &shape.CreateTargetGroupRequest{Name: new("NAME"), Type: shape.TargetGroupTypeIp, Config: &shape.TargetGroupConfig{
			Protocol: shape.TargetGroupProtocolHttp, Port: new(int32(80)), VpcIdentifier: new("vpc-0123456789abcdef0"),
		}}),
	}}}, nil
}

// kindOfGroup says what a target group's targets are, and which protocol they speak.
func kindOfGroup(g *lattice.TargetGroup) string {
	words := string(g.Type)
	if g.Config != nil && g.Config.Protocol != "" {
		words += ", " + string(g.Config.Protocol)
		if g.Config.ProtocolVersion != "" && g.Config.ProtocolVersion != shape.TargetGroupProtocolVersionHttp1 {
			words += " (" + string(g.Config.ProtocolVersion) + ")"
		}
	}
	return words
}

// targetName is a target's id and port.
func targetName(id string, port int32) string {
	if port == 0 {
		return id
	}
	if strings.Contains(id, ":") && !strings.HasPrefix(id, "arn:") {
		return fmt.Sprintf("[%s]:%d", id, port)
	}
	return fmt.Sprintf("%s:%d", id, port)
}

// groupPage is the page of a target group.
type groupPage struct {
	object
	Health cell
	// Register is the form for another target: what an id is, and whether a port is asked for.
	Register *registerForm
}

type registerForm struct {
	Action, Hint string
	Port         int32
	HasPort      bool
}

func (v *visit) targetGroup() (*content, error) {
	id := v.r.PathValue("id")
	var g *listedGroup
	type use struct {
		*lattice.Rule
		service, listener string
	}
	var uses []*use
	v.read(func(view catalog.View) {
		var ok bool
		if g, ok = listedGroupOf(view, v.scope, id); !ok {
			return
		}
		for r := range catalog.All[*lattice.Rule](view, lattice.By(lattice.KindRule, v.scope, "targetgroup", id)) {
			u := &use{Rule: r, service: r.ServiceID}
			if s, ok := catalog.Get[*lattice.Service](view, lattice.ServiceKey(v.scope, r.ServiceID)); ok {
				u.service = s.Name
			}
			if l, ok := catalog.Get[*lattice.Listener](view, lattice.ListenerKey(v.scope, r.ServiceID, r.ListenerID)); ok {
				u.listener = portName(l)
			}
			uses = append(uses, u)
		}
	})
	if g == nil {
		return nil, &missingError{"target group", id}
	}
	p := &groupPage{object: v.object(g.TargetGroup, "Target group"), Health: v.groupHealth(g)}
	p.Facts = append(p.Facts, fact{"Targets", p.Health}, fact{"Type", text(kindOfGroup(g.TargetGroup))})
	if c := g.Config; c != nil {
		if c.VpcIdentifier != nil {
			p.Facts = append(p.Facts, fact{"VPC", code(*c.VpcIdentifier)})
		}
		if c.Port != nil {
			p.Facts = append(p.Facts, fact{"Port", code(fmt.Sprint(*c.Port))})
		}
		if c.LambdaEventStructureVersion != "" {
			p.Facts = append(p.Facts, fact{"Event version", text(string(c.LambdaEventStructureVersion))})
		}
		p.Facts = append(p.Facts, fact{"Health check", healthCheckCell(c.HealthCheck)})
	}
	p.Charts = v.charts(g.ID)
	p.Tables = []*table{
		v.targetTable(g),
		list[*use]{
			id: "rules", label: "Used by rules", items: uses, empty: "No rule forwards to it: its targets are not in use.",
			key:     func(u *use) string { return u.ID },
			matches: func(u *use, word string) bool { return containsAny(word, u.service, u.Name, u.ID) },
			columns: []column[*use]{
				{name: "Service", by: byText(func(u *use) string { return u.service }), cell: func(u *use) cell {
					return cell{Text: u.service, Link: v.to("services", u.ServiceID), Sub: u.listener}
				}},
				{name: "Rule", cell: func(u *use) cell {
					return cell{Text: cmp.Or(u.Name, "default"), Link: v.to("services", u.ServiceID, "listeners", u.ListenerID, "rules", u.ID), Sub: u.ID}
				}},
				{name: "Matches", cell: func(u *use) cell { return text(strings.Join(matchWords(u.Match), " and ")) }},
			},
		}.show(v),
		v.failures("failures", "Last failed exchanges", func(f *delivery.Failure) bool { return f.TargetGroup == g.ARN() }),
	}
	example := lattice.ExampleTarget(g.TargetGroup)
	p.Commands = []command{
		v.command("Make it", "CreateTargetGroup", &shape.CreateTargetGroupRequest{Name: &g.Name, Type: g.Type, Config: g.Config, Tags: g.Tags}),
		v.command("Register a target", "RegisterTargets", &shape.RegisterTargetsRequest{TargetGroupIdentifier: &g.ID, Targets: []shape.Target{example}}),
		v.command("Delete it", "DeleteTargetGroup", &shape.DeleteTargetGroupRequest{TargetGroupIdentifier: &g.ID}),
	}
	if g.Config != nil && g.Config.HealthCheck != nil {
		p.Commands = append(p.Commands, v.command("Change its health check", "UpdateTargetGroup", &shape.UpdateTargetGroupRequest{TargetGroupIdentifier: &g.ID, HealthCheck: g.Config.HealthCheck}))
	}
	p.Register = &registerForm{Action: v.to("register"), Hint: value(example.Id), HasPort: lattice.HasPorts(g.Type)}
	if g.Config != nil {
		p.Register.Port = value(g.Config.Port)
	}
	return &content{Title: g.Name, Data: p}, nil
}

func healthCheckCell(h *shape.HealthCheckConfig) cell {
	if h == nil || h.Enabled != nil && !*h.Enabled {
		return cell{Text: "off", Sub: "all targets count as available"}
	}
	c := cell{Text: fmt.Sprintf("%s %s every %d s", cmp.Or(string(h.Protocol), "HTTP"), cmp.Or(value(h.Path), "/"), value(h.HealthCheckIntervalSeconds)),
		Sub: fmt.Sprintf("healthy after %d, unhealthy after %d, timeout %d s", value(h.HealthyThresholdCount), value(h.UnhealthyThresholdCount), value(h.HealthCheckTimeoutSeconds))}
	if h.Matcher != nil && h.Matcher.HttpCode != nil {
		c.Sub += ", wants " + *h.Matcher.HttpCode
	}
	return c
}

// targetTable shows each target with its last check. Unhealthy ones come first.
func (v *visit) targetTable(g *listedGroup) *table {
	reports := v.cfg.Report(g.TargetGroup, g.targets)
	slices.SortStableFunc(reports, func(a, b health.TargetReport) int {
		return compareBool(a.Status != shape.TargetStatusUnhealthy, b.Status != shape.TargetStatusUnhealthy)
	})
	l := list[health.TargetReport]{
		id: "targets", label: "Targets", items: reports, empty: "No target is registered.",
		key: func(r health.TargetReport) string {
			return slugOf(strings.NewReplacer(":", "-", ".", "-", "/", "-").Replace(targetName(r.Target.ID, r.Target.Port)))
		},
		matches: func(r health.TargetReport, word string) bool {
			return containsAny(word, targetName(r.Target.ID, r.Target.Port), string(r.Status), r.ReasonCode, r.Problem)
		},
		columns: []column[health.TargetReport]{
			{name: "Target", tight: true, by: func(a, b health.TargetReport) int { return a.Target.Compare(b.Target) }, cell: func(r health.TargetReport) cell {
				c := code(targetName(r.Target.ID, r.Target.Port))
				if r.Address.IsValid() && r.Address.String() != c.Text {
					c.Sub = "at " + r.Address.String()
				}
				return c
			}},
			{name: "Status", by: byText(func(r health.TargetReport) string { return string(r.Status) }), cell: func(r health.TargetReport) cell {
				return cell{Text: words(string(r.Status)), Mark: targetMark(r.Status), Sub: cmp.Or(r.Problem, r.ReasonCode)}
			}},
			{name: "Since", tight: true, cell: func(r health.TargetReport) cell {
				if r.Since.IsZero() {
					return text("–")
				}
				return text(ago(r.Since))
			}},
			{name: "Last check", cell: lastCheck},
		},
	}
	if v.mayChange() {
		l.columns = append(l.columns, column[health.TargetReport]{name: "Change", tight: true, cell: func(r health.TargetReport) cell {
			if r.Target.Draining() {
				return text("leaving " + ago(r.Target.DrainingUntil))
			}
			fields := [][2]string{{"group", g.ID}, {"target", r.Target.ID}}
			if r.Target.Port != 0 {
				fields = append(fields, [2]string{"port", fmt.Sprint(r.Target.Port)})
			}
			return cell{Act: &act{Label: "Deregister", For: targetName(r.Target.ID, r.Target.Port), Action: v.to("deregister"), Fields: fields}}
		}})
	}
	return l.show(v)
}

func lastCheck(r health.TargetReport) cell {
	last := r.Last
	if last == nil {
		return cell{Text: "none yet", Mark: "idle"}
	}
	c := cell{Text: ago(last.StartedAt) + ", " + latency(last.Duration.Seconds()), Mark: "good"}
	if last.StatusCode != 0 {
		c.Text = fmt.Sprintf("%d %s, ", last.StatusCode, http.StatusText(last.StatusCode)) + c.Text
	}
	c.Sub = fmt.Sprintf("%s, %s in a row", last.URL, count(r.Successes, "success", "successes"))
	if last.Failure != "" {
		c.Mark, c.Sub = "bad", fmt.Sprintf("%s: %s; %s in a row", last.URL, last.Failure, count(r.Failures, "failure", "failures"))
	}
	return c
}
