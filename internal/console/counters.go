package console

import (
	"trellis/internal/function"
	"trellis/internal/lattice"
	"trellis/internal/routing"
	"trellis/internal/tally"
)

// eachCounter reads the counters of all that has charts, for sampler.take.
func (c *Console) eachCounter(read func(key string, now *figures, ids ...string)) {
	readExchanges(c.cfg.Router.Counted(), read)
	readResources(c.cfg.Router.Resources(), read)
	readFunctions(c.cfg.Functions.Statistics(), read)
}

// readExchanges reads what is counted of services and all that is around them. A listener has what its rules have.
func readExchanges(counted routing.Counted, read func(key string, now *figures, ids ...string)) {
	var totals tally.Totals
	var now figures
	exchanges := func(e *tally.Exchanges, ids ...string) {
		if !e.Read(&totals) {
			return
		}
		now = figures{failures: totals.Outcomes[5] + totals.Outcomes[tally.NoStatus], refusals: totals.Outcomes[4], durations: totals.Requests}
		for _, n := range totals.Outcomes { // A connection that is passed through counts, too.
			now.requests += n
		}
		read(ids[0], &now, ids...)
	}
	for _, s := range counted.Services {
		exchanges(s.Exchanges, s.ID)
	}
	for _, g := range counted.Groups {
		exchanges(&g.Exchanges, g.ID)
	}
	for _, n := range counted.Networks {
		exchanges(n.Exchanges, n.ID)
	}
	for _, r := range counted.Rules {
		exchanges(r.Exchanges, r.ID, r.ListenerID)
	}
}

// readResources reads what is counted of the ways to resources, whose requests are connections.
func readResources(resources []*routing.Resource, read func(key string, now *figures, ids ...string)) {
	var totals tally.Totals
	var now figures
	for _, r := range resources {
		if !r.Exchanges.Read(&totals) {
			continue
		}
		now = figures{requests: totals.Outcomes[tally.Passed]}
		for _, n := range totals.Failures {
			now.failures += uint64(n)
		}
		route := r.Route()
		ids := []string{route.ConfigurationID}
		if route.AssociationID != "" {
			ids = append(ids, route.AssociationID)
		}
		if network, ok := lattice.ParseARN(route.NetworkARN); ok {
			ids = append(ids, network.ID())
		}
		read("way "+r.ID, &now, ids...)
	}
}

// functionID is the id of a function's samples. Functions have names of their owners' choice.
func functionID(name string) string { return "function " + name }

// readFunctions reads what is counted of functions, whose requests are invocations.
func readFunctions(all []function.Statistics, read func(key string, now *figures, ids ...string)) {
	for _, s := range all {
		var now figures
		for _, one := range s.Invocations {
			n := one.Durations.Count()
			now.requests += n
			if one.Code != "" {
				now.failures += n
			}
			now.durations.Add(&one.Durations)
		}
		if now.requests > 0 {
			read(functionID(s.Name), &now, functionID(s.Name))
		}
	}
}
