package metrics

import (
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"trellis/internal/accesslog"
	"trellis/internal/health"
	"trellis/internal/proxy"
	"trellis/internal/routing"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

const (
	counter   = dto.MetricType_COUNTER
	gauge     = dto.MetricType_GAUGE
	histogram = dto.MetricType_HISTOGRAM
)

var (
	serviceLabels = []string{"service", "service_name"}
	groupLabels   = []string{"target_group", "target_group_name"}
	// resourceLabels name the association by which a resource is reached: routing.Resource.ID.
	resourceLabels = []string{"association", "resource_configuration_name"}
)

func with(labels []string, more ...string) []string {
	return append(labels[:len(labels):len(labels)], more...)
}

var (
	serviceRequests = &Definition{"trellis_service_requests_total", "Requests to a service that have ended, by the class of the response's status (TotalRequestCount, HTTPCode_2XX_Count and the like).", counter, with(serviceLabels, "status")}
	serviceDuration = &Definition{"trellis_service_request_duration_seconds", "Time from a complete request head until the response was sent (RequestTime).", histogram, serviceLabels}
	serviceFailures = &Definition{"trellis_service_failures_total", "Requests to a service, and connections passed through, that failed, by the failureReason of the access log (RequestTimeoutCount is TargetDataTimeout).", counter, with(serviceLabels, "failure")}
	servicePassed   = &Definition{"trellis_service_passed_connections_total", "Connections to TLS_PASSTHROUGH listeners of a service that have ended.", counter, serviceLabels}

	groupRequests    = &Definition{"trellis_target_group_requests_total", "Requests forwarded to a target group that have ended, by the class of the response's status (TotalRequestCount, HTTPCode_2XX_Count and the like).", counter, with(groupLabels, "status")}
	groupDuration    = &Definition{"trellis_target_group_request_duration_seconds", "Time from a complete request head until the response was sent, of requests forwarded to a target group (RequestTime).", histogram, groupLabels}
	groupFailures    = &Definition{"trellis_target_group_failures_total", "Requests forwarded to a target group, and connections passed through, that failed, by the failureReason of the access log.", counter, with(groupLabels, "failure")}
	groupPassed      = &Definition{"trellis_target_group_passed_connections_total", "Connections passed through to a target group that have ended.", counter, groupLabels}
	groupActive      = &Definition{"trellis_target_group_active_requests", "Requests forwarded to a target group, and connections passed through, that have not ended (ActiveRequestCount).", gauge, groupLabels}
	groupReceived    = &Definition{"trellis_target_group_received_bytes_total", "Bytes of requests forwarded to a target group, as clients sent them (TotalReceivedConnectionBytes).", counter, groupLabels}
	groupSent        = &Definition{"trellis_target_group_sent_bytes_total", "Bytes of responses of a target group, as clients got them (TotalSentConnectionBytes).", counter, groupLabels}
	groupConnections = &Definition{"trellis_target_group_connections_total", "Connections made to targets, by protocol: http1, which passed connections are too, or http2 (TotalConnectionCount, HTTP1_ConnectionCount, HTTP2_ConnectionCount).", counter, with(groupLabels, "protocol")}
	groupOpen        = &Definition{"trellis_target_group_active_connections", "Connections to targets that are open (ActiveConnectionCount).", gauge, groupLabels}
	groupErrors      = &Definition{"trellis_target_group_connection_errors_total", "Attempts to connect to a target that failed (ConnectionErrorCount).", counter, groupLabels}
	groupTimeouts    = &Definition{"trellis_target_group_connection_timeouts_total", "Attempts to connect to a target that took too long; they are among the errors (ConnectionTimeoutCount).", counter, groupLabels}
	groupHandshakes  = &Definition{"trellis_target_group_tls_handshakes_total", "TLS handshakes with targets that were completed (TotalTLSConnectionHandshakeCount).", counter, groupLabels}
	groupTLSErrors   = &Definition{"trellis_target_group_tls_errors_total", "TLS handshakes with targets that failed (TLSConnectionErrorCount).", counter, groupLabels}

	groupTargets = &Definition{"trellis_target_group_targets", "Targets of a target group in use, by their status as in ListTargets, as this node sees them.", gauge, with(groupLabels, "status")}

	resourceConnections = &Definition{"trellis_resource_connections_total", "Connections that clients have made to a resource.", counter, resourceLabels}
	resourceActive      = &Definition{"trellis_resource_active_connections", "Connections to a resource that are open.", gauge, resourceLabels}
	resourceFailures    = &Definition{"trellis_resource_failures_total", "Connections to a resource that were not let in (ClientAccessDenied), did not come to its target (TargetConnectionError), or did not end in order.", counter, with(resourceLabels, "failure")}
	resourceReceived    = &Definition{"trellis_resource_received_bytes_total", "Bytes that clients have sent to a resource.", counter, resourceLabels}
	resourceSent        = &Definition{"trellis_resource_sent_bytes_total", "Bytes that a resource has sent to clients.", counter, resourceLabels}

	unroutedRequests = &Definition{"trellis_unrouted_requests_total", "Requests that no service answers, such as those to an unknown host, by the class of the response's status.", counter, []string{"status"}}
	unroutedFailures = &Definition{"trellis_unrouted_failures_total", "Requests that no service answers and that failed, such as malformed ones, by the failureReason of the access log.", counter, []string{"failure"}}

	clientAccepted  = &Definition{"trellis_client_connections_accepted_total", "Connections of clients accepted on a listener port.", counter, []string{"port"}}
	clientOpen      = &Definition{"trellis_client_connections", "Connections of clients that are open, by what they are to: data, api or admin.", gauge, []string{"to"}}
	clientLimit     = &Definition{"trellis_client_connections_limit", "How many connections of clients there may be; 0 is any number.", gauge, []string{"to"}}
	clientClosed    = &Definition{"trellis_client_connections_closed_total", "Idle connections of clients that were closed to make room for others.", counter, []string{"to"}}
	clientRefused   = &Definition{"trellis_client_connections_refused_total", "Connections of clients closed at once, since their source had as many as it may.", counter, nil}
	acceptErrors    = &Definition{"trellis_accept_errors_total", "How often accepting a connection of a client has failed.", counter, nil}
	clientTLS       = &Definition{"trellis_client_tls_handshakes_total", "TLS handshakes with clients, by result: completed, failed, or refused since no service answers to the name.", counter, []string{"result"}}
	portBound       = &Definition{"trellis_listener_port_bound", "Whether a port of listeners is bound: 0 means that clients cannot connect.", gauge, []string{"port"}}
	targetOpen      = &Definition{"trellis_target_connections", "Connections to all targets that are open.", gauge, nil}
	targetIdle      = &Definition{"trellis_target_connections_idle", "Connections to targets of HTTP/1.1 that wait for a request, as of the last second.", gauge, nil}
	targetOpenLimit = &Definition{"trellis_target_connections_limit", "How many connections to targets there may be; 0 is any number.", gauge, nil}
)

// statuses are the values of the label status, by outcome.
var statuses = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

func (g *gathering) traffic(router *routing.Router, p *proxy.Proxy) {
	counted := router.Counted()
	var totals tally.Totals
	for _, s := range counted.Services {
		if s.Exchanges.Read(&totals) {
			g.exchanges(serviceRequests, serviceFailures, &totals, s.ID, s.Name)
			g.histogram(serviceDuration, &totals.Requests, s.ID, s.Name)
			g.passed(servicePassed, &totals, s.ID, s.Name)
		}
	}
	for _, group := range counted.Groups {
		g.group(group, &totals)
	}
	for _, resource := range router.Resources() {
		g.resource(resource, &totals)
	}
	p.Statistics().Unrouted.Read(&totals)
	g.exchanges(unroutedRequests, unroutedFailures, &totals)
}

// group adds the series of a target group. As at AWS, it has none before its first traffic.
func (g *gathering) group(group *routing.TargetGroup, totals *tally.Totals) {
	id, name, c := group.ID, group.Name, &group.Connections
	if group.Exchanges.Read(totals) {
		g.exchanges(groupRequests, groupFailures, totals, id, name)
		g.histogram(groupDuration, &totals.Requests, id, name)
		g.passed(groupPassed, totals, id, name)
		g.gauge(groupActive, float64(totals.Active), id, name)
		g.counter(groupReceived, float64(totals.Received), id, name)
		g.counter(groupSent, float64(totals.Sent), id, name)
	}
	if c.HTTP1.Load()+c.HTTP2.Load()+c.Errors.Load() == 0 {
		return
	}
	g.counter(groupConnections, float64(c.HTTP1.Load()), id, name, "http1")
	g.counter(groupConnections, float64(c.HTTP2.Load()), id, name, "http2")
	g.gauge(groupOpen, float64(c.Open.Load()), id, name)
	g.counter(groupErrors, float64(c.Errors.Load()), id, name)
	g.counter(groupTimeouts, float64(c.Timeouts.Load()), id, name)
	if c.Handshakes.Load()+c.HandshakeErrors.Load() > 0 {
		g.counter(groupHandshakes, float64(c.Handshakes.Load()), id, name)
		g.counter(groupTLSErrors, float64(c.HandshakeErrors.Load()), id, name)
	}
}

// resource adds the series of a way to a resource, from its first connection on.
func (g *gathering) resource(r *routing.Resource, totals *tally.Totals) {
	if !r.Exchanges.Read(totals) {
		return
	}
	labels := []string{r.ID, r.Route().ConfigurationName}
	g.counter(resourceConnections, float64(totals.Active)+float64(totals.Outcomes[tally.Passed]), labels...)
	g.gauge(resourceActive, float64(totals.Active), labels...)
	g.counter(resourceReceived, float64(totals.Received), labels...)
	g.counter(resourceSent, float64(totals.Sent), labels...)
	g.failures(resourceFailures, totals, labels)
}

// exchanges adds a series for each of the usual classes, even at zero, and for each other class that is not zero.
func (g *gathering) exchanges(requests, failures *Definition, totals *tally.Totals, labels ...string) {
	for outcome, status := range statuses {
		if n := totals.Outcomes[outcome]; n > 0 || outcome >= 2 {
			g.counter(requests, float64(n), with(labels, status)...)
		}
	}
	g.failures(failures, totals, labels)
}

func (g *gathering) failures(d *Definition, totals *tally.Totals, labels []string) {
	for number, n := range totals.Failures {
		if n > 0 {
			g.counter(d, float64(n), with(labels, string(accesslog.Failures[number]))...)
		}
	}
}

func (g *gathering) passed(d *Definition, totals *tally.Totals, labels ...string) {
	if n := totals.Outcomes[tally.Passed]; n > 0 {
		g.counter(d, float64(n), labels...)
	}
}

func (g *gathering) health(checker *health.Checker) {
	for _, group := range checker.Counts() {
		for _, status := range []shape.TargetStatus{shape.TargetStatusHealthy, shape.TargetStatusUnhealthy} {
			g.gauge(groupTargets, float64(group.Statuses[status]), group.ID, group.Name, string(status))
			delete(group.Statuses, status)
		}
		for status, n := range group.Statuses {
			g.gauge(groupTargets, float64(n), group.ID, group.Name, string(status))
		}
	}
}

func (g *gathering) ports(s proxy.Statistics, own map[string]proxy.Usage) {
	for _, port := range s.Ports {
		number, bound := strconv.Itoa(port.Port.Number), 0.0
		if port.Bound {
			bound = 1
		}
		g.gauge(portBound, bound, number)
		g.counter(clientAccepted, float64(port.Port.Accepted.Load()), number)
	}
	own["data"] = s.Clients
	for to, usage := range own {
		g.gauge(clientOpen, float64(usage.Open), to)
		g.gauge(clientLimit, float64(usage.Limit), to)
		g.counter(clientClosed, float64(usage.Closed), to)
	}
	g.counter(clientRefused, float64(s.Clients.Refused))
	g.counter(acceptErrors, float64(s.Failed))
	g.counter(clientTLS, float64(s.Handshakes), "completed")
	g.counter(clientTLS, float64(s.HandshakeErrors), "failed")
	g.counter(clientTLS, float64(s.HandshakeRefusals), "refused")
	g.gauge(targetOpen, float64(s.Targets.Open))
	g.gauge(targetIdle, float64(s.Targets.Idle))
	g.gauge(targetOpenLimit, float64(s.Targets.Limit))
}
