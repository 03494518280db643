package metrics

import (
	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/dns"
	"trellis/internal/function"
	"trellis/internal/tally"
	"trellis/internal/tracing"
)

var (
	buildInfo = &Definition{"trellis_build_info", "Version of the program; the value is 1.", gauge, []string{"version", "goversion", "revision"}}

	certificateExpires = &Definition{"trellis_certificate_expiry_timestamp_seconds", "When a certificate expires: those of the inventory by their ARNs, and that of the local authority as local-authority.", gauge, []string{"certificate"}}

	apiRequests = &Definition{"trellis_api_requests_total", "Calls of the API, by operation and error code; the code is empty for success.", counter, []string{"operation", "code"}}
	apiDuration = &Definition{"trellis_api_request_duration_seconds", "Time that calls of the API took, by operation, whether or not they succeeded.", histogram, []string{"operation"}}

	catalogRevision  = &Definition{"trellis_catalog_revision", "Revision of the catalog that this node's data plane follows.", gauge, nil}
	catalogBehind    = &Definition{"trellis_catalog_revisions_behind", "By how many revisions the data plane is behind what etcd is known to have.", gauge, nil}
	catalogLag       = &Definition{"trellis_catalog_watch_lag_seconds", "How long the watch took to bring what etcd had when it was asked last, which is once a second.", gauge, nil}
	catalogCommits   = &Definition{"trellis_catalog_commit_duration_seconds", "Time that etcd took for transactions of this node.", histogram, nil}
	catalogConflicts = &Definition{"trellis_catalog_conflicts_total", "Transactions that were evaluated again, since another node was faster.", counter, nil}
	catalogWritable  = &Definition{"trellis_catalog_writable", "Whether changes can be stored, as far as this node knows.", gauge, nil}

	logQueued    = &Definition{"trellis_access_log_queue_entries", "Access log entries in memory, on their way to the disk.", gauge, nil}
	logDropped   = &Definition{"trellis_access_log_dropped_entries_total", "Access log entries lost because the queue was full.", counter, nil}
	logDelivered = &Definition{"trellis_access_log_delivered_entries_total", "Access log entries that destinations have taken.", counter, nil}
	logLost      = &Definition{"trellis_access_log_lost_entries_total", "Access log entries that destinations refused, or that the spool had no room for.", counter, nil}
	logFailures  = &Definition{"trellis_access_log_delivery_failures_total", "Attempts to deliver a batch of access logs that failed.", counter, nil}
	logBatches   = &Definition{"trellis_access_log_spool_batches", "Batches of access logs on the disk.", gauge, nil}
	logBytes     = &Definition{"trellis_access_log_spool_bytes", "Bytes of access logs that wait on the disk.", gauge, nil}
	logWatchers  = &Definition{"trellis_access_log_watchers", "Clients that watch exchanges as they end, as `trellis logs` does.", gauge, nil}

	spansQueued    = &Definition{"trellis_trace_queue_spans", "Spans that wait for the collector, or are being sent.", gauge, nil}
	spansDelivered = &Definition{"trellis_trace_delivered_spans_total", "Spans that the collector has taken.", counter, nil}
	spansLost      = &Definition{"trellis_trace_lost_spans_total", "Spans lost because the queue was full, or the collector did not take them.", counter, nil}
	spansFailures  = &Definition{"trellis_trace_export_failures_total", "Batches of spans that the collector did not take.", counter, nil}

	functionInvocations = &Definition{"trellis_function_invocations_total", "Invocations of a function, by the kind of error; it is empty for success. Functions that this node does not run are counted together, as elsewhere.", counter, []string{"function", "error"}}
	functionDuration    = &Definition{"trellis_function_duration_seconds", "Time from an event until its response, including the wait for a process.", histogram, []string{"function"}}
	functionProcesses   = &Definition{"trellis_function_processes", "Processes of a function, by state.", gauge, []string{"function", "state"}}
	functionWaiting     = &Definition{"trellis_function_waiting_events", "Events that wait for a process of a function.", gauge, []string{"function"}}

	dnsDropped   = &Definition{"trellis_dns_dropped_total", "Queries over UDP, and connections over TCP, dropped because there were too many.", counter, nil}
	dnsResponses = &Definition{"trellis_dns_responses_total", "Responses to DNS queries, by their code.", counter, []string{"rcode"}}
)

// Definitions returns all metrics that are this program's own, in the order of docs/metrics.md.
func Definitions() []*Definition {
	return []*Definition{
		serviceRequests, serviceDuration, serviceFailures, servicePassed,
		groupRequests, groupDuration, groupFailures, groupPassed, groupActive, groupReceived, groupSent, groupConnections, groupOpen,
		groupErrors, groupTimeouts, groupHandshakes, groupTLSErrors, groupTargets,
		resourceConnections, resourceActive, resourceFailures, resourceReceived, resourceSent,
		unroutedRequests, unroutedFailures, clientAccepted, clientOpen, clientLimit, clientClosed, clientRefused, acceptErrors, clientTLS,
		portBound, targetOpen, targetIdle, targetOpenLimit,
		certificateExpires, apiRequests, apiDuration,
		catalogRevision, catalogBehind, catalogLag, catalogCommits, catalogConflicts, catalogWritable,
		logQueued, logDropped, logDelivered, logLost, logFailures, logBatches, logBytes, logWatchers,
		spansQueued, spansDelivered, spansLost, spansFailures,
		functionInvocations, functionDuration, functionProcesses, functionWaiting,
		dnsResponses, dnsDropped, buildInfo,
	}
}

func (g *gathering) certificates(cfg *Config) {
	g.gauge(certificateExpires, float64(cfg.AuthorityExpires.Unix()), "local-authority")
	for arn, expires := range cfg.Inventory().CertificateExpiries() {
		g.gauge(certificateExpires, float64(expires.Unix()), arn)
	}
}

// calls adds a histogram for all calls with a name, however they ended.
func (g *gathering) calls(counted []tally.Counted, counts, durations *Definition, name func(tally.Counted) string) {
	for i := 0; i < len(counted); {
		called := name(counted[i])
		var all tally.Distribution
		for ; i < len(counted) && name(counted[i]) == called; i++ {
			g.counter(counts, float64(counted[i].Durations.Count()), called, counted[i].Code)
			all.Add(&counted[i].Durations)
		}
		g.histogram(durations, &all, called)
	}
}

func (g *gathering) control(calls *tally.Calls, c *catalog.Catalog) {
	g.calls(calls.Read(), apiRequests, apiDuration, func(c tally.Counted) string { return c.Name })
	s := c.Statistics()
	g.gauge(catalogRevision, float64(s.Revision))
	g.gauge(catalogBehind, float64(s.Known-s.Revision))
	g.gauge(catalogLag, s.WatchLag.Seconds())
	g.histogram(catalogCommits, &s.Commits)
	g.counter(catalogConflicts, float64(s.Conflicts))
	writable := 0.0
	if s.Writable {
		writable = 1
	}
	g.gauge(catalogWritable, writable)
}

func (g *gathering) accessLogs(f delivery.Figures) {
	g.gauge(logQueued, float64(f.Queued))
	g.counter(logDropped, float64(f.Dropped))
	g.counter(logDelivered, float64(f.Delivered))
	g.counter(logLost, float64(f.Lost))
	g.counter(logFailures, float64(f.Failures))
	g.gauge(logBatches, float64(f.SpooledBatches))
	g.gauge(logBytes, float64(f.SpooledBytes))
	g.gauge(logWatchers, float64(f.Watchers))
}

func (g *gathering) traces(f tracing.Figures) {
	g.gauge(spansQueued, float64(f.Queued))
	g.counter(spansDelivered, float64(f.Delivered))
	g.counter(spansLost, float64(f.Lost))
	g.counter(spansFailures, float64(f.Failures))
}

func (g *gathering) functions(f *function.Functions) {
	for _, s := range f.Statistics() {
		g.calls(s.Invocations, functionInvocations, functionDuration, func(tally.Counted) string { return s.Name })
		for state, n := range s.Processes {
			g.gauge(functionProcesses, float64(n), s.Name, state)
		}
		if s.Processes != nil {
			g.gauge(functionWaiting, float64(s.Waiting), s.Name)
		}
	}
}

func (g *gathering) dns(server *dns.Server) {
	for rcode, n := range server.Responses() {
		g.counter(dnsResponses, float64(n), rcode)
	}
	g.counter(dnsDropped, float64(server.Dropped()))
}
