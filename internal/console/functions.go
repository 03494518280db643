package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/function"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// listedFunction is a function as the list shows it.
type listedFunction struct {
	inventory.Function
	problem     error
	report      *function.Report // nil for a function that another Lambda has
	invocations int64
	errors      int64
}

// isOf reports whether a function's ARN is of the scope.
func isOf(arn string, scope lattice.Scope) bool {
	parts := strings.SplitN(arn, ":", 6)
	return len(parts) == 6 && parts[3] == scope.Region && parts[4] == scope.Account
}

func (v *visit) listedFunctions() []*listedFunction {
	counted := map[string]function.Statistics{}
	for _, s := range v.cfg.Functions.Statistics() {
		counted[s.Name] = s
	}
	var found []*listedFunction
	for _, f := range v.cfg.Inventory().Functions() {
		if !isOf(f.ARN, v.scope) {
			continue
		}
		listed := &listedFunction{Function: f, problem: v.cfg.Functions.Problem(f.ARN)}
		if report, ok := v.cfg.Functions.Report(f.ARN); ok {
			listed.report = &report
		}
		for _, c := range counted[f.Name()].Invocations {
			n := int64(c.Durations.Count())
			listed.invocations += n
			if c.Code != "" {
				listed.errors += n
			}
		}
		found = append(found, listed)
	}
	slices.SortStableFunc(found, func(a, b *listedFunction) int {
		return cmp.Or(compareBool(a.problem == nil, b.problem == nil), -cmp.Compare(a.errors, b.errors), strings.Compare(a.Name(), b.Name()))
	})
	return found
}

// state is whether a function works.
func (f *listedFunction) state() cell {
	switch {
	case f.problem != nil:
		return cell{Text: "Cannot be invoked", Mark: "bad", Sub: f.problem.Error()}
	case f.report == nil:
		return cell{Text: "Elsewhere", Mark: "idle"}
	case len(f.report.Processes) == 0:
		return cell{Text: "Ready", Mark: "good", Sub: "starts with the first event"}
	}
	c := cell{Text: count(len(f.report.Processes), "process", "processes"), Mark: "good"}
	if f.report.Waiting > 0 {
		c.Mark, c.Sub = "warn", count(f.report.Waiting, "event waits", "events wait")
	}
	return c
}

func (f *listedFunction) program() cell {
	if f.report == nil {
		if f.Endpoint != nil {
			return code(f.Endpoint.String())
		}
		return text("another Lambda")
	}
	return code(strings.Join(f.report.Command, " "))
}

func (v *visit) functions() (*content, error) {
	t := list[*listedFunction]{
		label: "Functions", items: v.listedFunctions(), key: func(f *listedFunction) string { return f.Name() },
		empty: "The node knows of no function in this account and Region: --function declares one, and so does the inventory.",
		matches: func(f *listedFunction, word string) bool {
			return containsAny(word, f.ARN, f.state().Text, f.program().Text)
		},
		columns: []column[*listedFunction]{
			{name: "Name", by: byText((*listedFunction).name), cell: func(f *listedFunction) cell {
				return cell{Text: f.Name(), Link: v.to("functions", f.Name()), Sub: f.ARN}
			}},
			{name: "State", by: byText(func(f *listedFunction) string { return f.state().Text }), cell: (*listedFunction).state},
			{name: "Program", cell: (*listedFunction).program},
			{name: "Invocations", number: true, by: byNumber(func(f *listedFunction) int64 { return f.invocations }), cell: func(f *listedFunction) cell { return number(f.invocations) }},
			{name: "Errors", number: true, by: byNumber(func(f *listedFunction) int64 { return f.errors }), cell: func(f *listedFunction) cell {
				c := number(f.errors)
				if f.errors > 0 {
					c.Mark = "bad"
				}
				return c
			}},
		},
	}.show(v)
	return &content{Title: "Functions", Data: listPage{Table: t}}, nil
}

func (f *listedFunction) name() string { return f.Name() }

func (v *visit) function() (*content, error) {
	id := v.r.PathValue("id")
	all := v.listedFunctions()
	at := slices.IndexFunc(all, func(f *listedFunction) bool { return f.Name() == id })
	if at < 0 {
		return nil, &missingError{"function", id}
	}
	f := all[at]
	o := object{Kind: "Function", Name: f.Name(), ID: f.Name(), ARN: f.ARN, Status: f.state()}
	o.Facts = []fact{{"Program", f.program()}, {"Timeout", text(f.Timeout.String())}, {"Concurrency", number(f.Concurrency)},
		{"Invocations", number(f.invocations)}, {"Errors", number(f.errors)}}
	if f.report != nil {
		o.Charts = v.invocationCharts(f.Name())
		o.Facts = append(o.Facts, fact{"Directory", code(f.report.Directory)})
		if last := f.report.LastError; last != nil {
			o.Facts = append(o.Facts, fact{"Last error", cell{Text: ago(last.At), Mark: "bad", Sub: last.Text}})
		}
		o.Tables = append(o.Tables, list[function.ProcessReport]{
			id: "processes", label: "Processes", items: f.report.Processes, empty: "No process runs: the next event starts one.",
			key:     func(p function.ProcessReport) string { return fmt.Sprint(p.PID) },
			matches: func(p function.ProcessReport, word string) bool { return containsAny(word, p.State, p.RequestID) },
			columns: []column[function.ProcessReport]{
				{name: "Process", cell: func(p function.ProcessReport) cell { return code(fmt.Sprint(p.PID)) }},
				{name: "State", cell: func(p function.ProcessReport) cell { return cell{Text: p.State, Sub: "since " + ago(p.Since)} }},
				{name: "Event", cell: func(p function.ProcessReport) cell { return orNone(p.RequestID) }},
			},
		}.show(v))
	}
	var uses []*lattice.TargetGroup
	v.read(func(view catalog.View) {
		for g := range catalog.All[*lattice.TargetGroup](view, lattice.By(lattice.KindTargetGroup, v.scope, "type", string(shape.TargetGroupTypeLambda))) {
			t, ok := catalog.Get[*lattice.Targets](view, lattice.TargetsKey(v.scope, g.ID))
			if ok && slices.ContainsFunc(t.Members, func(t *lattice.Target) bool { return lattice.FunctionName(t.ID) == f.Name() && isOf(t.ID, v.scope) }) {
				uses = append(uses, g)
			}
		}
	})
	o.Tables = append(o.Tables, list[*lattice.TargetGroup]{
		id: "groups", label: "Target groups", items: uses, empty: "It is a target of no target group.",
		key:     func(g *lattice.TargetGroup) string { return g.ID },
		matches: func(g *lattice.TargetGroup, word string) bool { return containsAny(word, g.Name, g.ID) },
		columns: []column[*lattice.TargetGroup]{
			{name: "Name", cell: func(g *lattice.TargetGroup) cell {
				return cell{Text: g.Name, Link: v.to("target-groups", g.ID), Sub: g.ID}
			}},
		},
	}.show(v), v.failures("failures", "Last failed exchanges", func(failed *delivery.Failure) bool {
		return lattice.FunctionName(failed.Target) == f.Name() && isOf(failed.Target, v.scope)
	}))
	return &content{Title: f.Name(), Data: &o}, nil
}
