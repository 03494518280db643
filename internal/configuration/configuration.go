// Package configuration reads the operator's settings: the command line, TRELLIS_* environment variables and a YAML file,
// in this order of precedence. Every setting is a flag; the file's keys and the variables are derived from the flags'
// names. It checks everything that can be checked without I/O, and reports all problems at once. Only cmd/trellis and
// internal/server import it.
package configuration

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"trellis/internal/lattice"
)

// Common are the settings that dev and serve share.
type Common struct {
	APIAddr                 string                `name:"api-addr" default:"127.0.0.1:7600" help:"Address of the Lattice API."`
	AdminAddr               string                `name:"admin-addr" default:"127.0.0.1:7601" help:"Address of the admin port: the console, /readyz, /explain, /metrics and others; GET / lists them."`
	DataAddr                string                `name:"data-addr" default:"127.0.0.1" help:"IP address that data-plane listeners bind to."`
	AllowedHosts            []string              `name:"allowed-hosts" placeholder:"NAME" help:"Names under which the API port of dev and the admin port may be addressed, in addition to IP addresses and names below localhost; .internal stands for all names below it."`
	Domain                  string                `name:"domain" default:"localhost" help:"Parent of the generated service names. Some clients, such as curl and browsers, find names below localhost without any DNS (README.md)."`
	Region                  string                `name:"region" default:"us-west-2" help:"Region of requests whose signature does not name one."`
	Account                 string                `name:"account" default:"000000000000" help:"Account of requests whose credentials do not name one."`
	CADir                   string                `name:"ca-dir" placeholder:"DIR" help:"Directory of the local certificate authority, ca.pem and ca-key.pem (default: serve DATA_DIR, dev the user's cache directory)."`
	Etcd                    Etcd                  `embed:"" prefix:"etcd-"`
	APIConcurrency          int                   `name:"api-concurrency" default:"256" help:"How many API operations are carried out at once; 0 means any number. Further ones wait for at most a second."`
	APIBurst                int                   `name:"api-burst" default:"0" help:"How many API calls an account may make at once; 0 means as many as --api-rate."`
	Inventory               string                `name:"inventory" placeholder:"FILE" help:"YAML file of what AWS would know: VPCs, instances, load balancers, functions, certificates, endpoints (docs/inventory.md). Read again when it changes."`
	InventoryFrom           []string              `name:"inventory-from" placeholder:"aws|SERVICE" help:"AWS services to ask for what --inventory does not say: ec2, elbv2, acm, lambda, or aws for all of them (default none: nothing is sent to AWS)."`
	DNSResolver             string                `name:"dns-resolver" placeholder:"ADDR" help:"DNS server that is asked for domain verifications and names of resources, as in 10.0.0.2:53 (default: the system's)."`
	DNSForward              []netip.AddrPort      `name:"dns-forward" placeholder:"ADDR" help:"DNS servers to which the server at --dns-addr forwards queries for other names, as in 10.0.0.2:53 (default none: such queries are refused)."`
	ResourceRange           lattice.ResourceRange `name:"resource-range" default:"127.89.0.0/16" placeholder:"NETWORK[,NETWORK]" help:"IPv4 network, and optionally an IPv6 one, from which each association of a resource configuration gets an address; none turns traffic to resources off (docs/resources.md)."`
	ResourcePorts           []int                 `name:"resource-ports" default:"80,443,1433,1521,3306,5432,5439,6379,8080,8182,9042,9092,9200,11211,27017" placeholder:"PORT" help:"Ports to open for resources with more than 64 ports, where not all can be open (docs/resources.md)."`
	LifecycleDelay          time.Duration         `name:"lifecycle-delay" default:"0s" help:"How long resources stay CREATE_IN_PROGRESS, UPDATE_IN_PROGRESS and DELETE_IN_PROGRESS."`
	DeregistrationDelay     time.Duration         `name:"deregistration-delay" default:"1m" help:"How long a deregistered target is DRAINING."`
	ConnectionDuration      time.Duration         `name:"connection-duration" default:"10m" help:"How long a client's connection to the data plane may live."`
	MaxConnections          int                   `name:"max-connections" default:"0" help:"How many connections clients may have to the data plane; 0 derives it from how many files the process may have open. Beyond it, idle ones are closed."`
	MaxConnectionsPerSource int                   `name:"max-connections-per-source" default:"0" help:"How many of them may come from one IPv4 address or IPv6 /64; 0 means any number."`
	AccessLogsLimit         int64                 `name:"access-logs-limit" default:"1024" help:"How many megabytes of complete access logs are kept in the directory of --access-logs; the oldest go first."`
	AccessLogsSpool         int64                 `name:"access-logs-spool" default:"1024" help:"How many megabytes of access logs may wait on the disk while they cannot be delivered; beyond that, the oldest are lost."`
	OTLPEndpoint            string                `name:"otlp-endpoint" placeholder:"URL" help:"OpenTelemetry collector that gets spans of exchanges and API calls by OTLP over HTTP, as in http://127.0.0.1:4318 (default: that of OTEL_EXPORTER_OTLP_ENDPOINT; without either, nothing is traced)."`
	TraceRatio              float64               `name:"trace-ratio" default:"1" help:"Share of the requests without a valid traceparent that are traced."`
	DrainTimeout            time.Duration         `name:"drain-timeout" default:"30s" help:"How long exchanges in flight may take to finish after SIGTERM."`
	Quotas                  lattice.Quotas        `name:"quotas" placeholder:"QUOTA=N,..." help:"Quotas that differ from AWS's, as in targetGroupsPerRegion=1000."`
	LogLevel                string                `name:"log-level" default:"info" help:"Lowest level that is logged: debug, info, warn or error."`
	LogFormat               string                `name:"log-format" default:"text" help:"Format of the log: text or json."`
}

// Configuration has all settings that package server needs.
type Configuration struct {
	Common
	// PortMap maps listener ports to the ports that are bound for them. Other listener ports are bound as they are.
	PortMap map[int]int
	// AllowTargets are the networks whose loopback and link-local addresses targets may have. In dev all may.
	AllowTargets []netip.Prefix
	// Dev: everything is ephemeral, any credentials are accepted, and responses say how they were routed.
	Dev bool
	// AllowRemote: dev may listen beyond the loopback.
	AllowRemote bool
	// Demo also builds a sample network. Only dev uses it.
	Demo bool
	// Load is a file with a network to start with, and ReadyFile a file to which the node writes its addresses. Only dev uses
	// them.
	Load, ReadyFile string
	// AccessLogs is where entries of access log subscriptions go: "aws", a directory, or "none".
	AccessLogs string
	// DNSAddr is the address and port of the DNS server for names of services, or "none".
	DNSAddr string
	// Functions are those that dev runs in addition to the inventory's.
	Functions []Function
	// DataDir holds the embedded etcd and the first credentials. Empty in dev.
	DataDir string
	// Regions are those that signatures may be for. Empty in dev, where any Region will do.
	Regions []string
	// Credentials is the file of principals and keys. Empty in dev unless one is given.
	Credentials string
	// APIRate is how many API calls an account may make in a second on average; 0 means any number.
	APIRate float64
	// AuditLog is a file, "-" for standard output, or "none".
	AuditLog string
	// Only dev uses Chaos.
	Chaos Chaos
}

// OtherPorts stands in a port map for all listener ports that are not in it, which can only be bound as any free port.
const OtherPorts = 0

// maxConnectionDuration is so long that it is no bound in practice.
const maxConnectionDuration = 365 * 24 * time.Hour

// minSpool is enough for the batches that are delivered at once, in megabytes.
const minSpool = 64

var (
	hostPattern   = regexp.MustCompile(`^\.?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)
	domainPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// check calls wrong for every setting that is wrong.
func (c Configuration) check(wrong func(flag string, value any, want string)) {
	for _, address := range []struct{ flag, value string }{{"api-addr", c.APIAddr}, {"admin-addr", c.AdminAddr}} {
		resolved, err := net.ResolveTCPAddr("tcp", address.value)
		if err != nil {
			wrong(address.flag, address.value, "must be an address and a port, as in 127.0.0.1:7600")
			continue
		}
		c.checkLoopback(address.flag, address.value, resolved.IP, wrong)
	}
	for _, host := range c.AllowedHosts {
		if !hostPattern.MatchString(host) || len(host) > 253 {
			wrong("allowed-hosts", host, "must be names without ports, as in trellis.example; .internal stands for all names below it")
		}
	}
	for _, service := range c.InventoryFrom {
		if service != "aws" && !slices.Contains(inventoryServices(), service) {
			wrong("inventory-from", service, "must be aws, or some of "+strings.Join(inventoryServices(), ","))
		}
	}
	if c.DNSResolver != "" {
		if _, err := net.ResolveUDPAddr("udp", c.DNSResolver); err != nil {
			wrong("dns-resolver", c.DNSResolver, "must be an address and a port, as in 10.0.0.2:53")
		}
	}
	if c.AccessLogs == "" {
		wrong("access-logs", c.AccessLogs, `must be "aws", a directory or "none"`)
	}
	if c.AccessLogsLimit < 1 {
		wrong("access-logs-limit", c.AccessLogsLimit, "must be at least 1")
	}
	if c.AccessLogsSpool < minSpool {
		wrong("access-logs-spool", c.AccessLogsSpool, fmt.Sprintf("must be at least %d", minSpool))
	}
	if endpoint, err := url.Parse(c.OTLPEndpoint); c.OTLPEndpoint != "" && (err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https") {
		wrong("otlp-endpoint", c.OTLPEndpoint, "must be the URL of a collector, as in http://127.0.0.1:4318")
	}
	if !(c.TraceRatio >= 0 && c.TraceRatio <= 1) {
		wrong("trace-ratio", c.TraceRatio, "must be between 0 and 1")
	}
	if c.DNSAddr != "none" {
		if address, err := netip.ParseAddrPort(c.DNSAddr); err != nil {
			wrong("dns-addr", c.DNSAddr, `must be an IP address and a port, as in 127.0.0.1:7653, or "none"`)
		} else {
			c.checkLoopback("dns-addr", c.DNSAddr, address.Addr().AsSlice(), wrong)
		}
	}
	if address := net.ParseIP(c.DataAddr); address == nil {
		wrong("data-addr", c.DataAddr, "must be an IP address, as in 127.0.0.1")
	} else {
		c.checkLoopback("data-addr", c.DataAddr, address, wrong)
	}
	for _, network := range []netip.Prefix{c.ResourceRange.IPv4, c.ResourceRange.IPv6} {
		if network.IsValid() {
			c.checkLoopback("resource-range", network.String(), network.Addr().AsSlice(), wrong)
		}
	}
	if !domainPattern.MatchString(c.Domain) || len(c.Domain) > 120 {
		wrong("domain", c.Domain, "must be a domain name in lower case of at most 120 characters")
	}
	if !lattice.ValidRegion(c.Region) {
		wrong("region", c.Region, "must be a Region, as in us-west-2")
	}
	for _, region := range c.Regions {
		if region != c.Region && !lattice.ValidRegion(region) {
			wrong("regions", region, "must be Regions, as in us-west-2,eu-west-1")
		}
	}
	if !lattice.ValidAccount(c.Account) {
		wrong("account", c.Account, "must be 12 digits")
	}
	for _, delay := range []struct {
		flag  string
		value time.Duration
	}{{"lifecycle-delay", c.LifecycleDelay}, {"deregistration-delay", c.DeregistrationDelay}, {"drain-timeout", c.DrainTimeout}} {
		if delay.value < 0 || delay.value > time.Hour {
			wrong(delay.flag, delay.value, "must be between 0s and 1h")
		}
	}
	if c.ConnectionDuration < time.Second || c.ConnectionDuration > maxConnectionDuration {
		wrong("connection-duration", c.ConnectionDuration, "must be between 1s and 8760h")
	}
	for _, limit := range []struct {
		flag  string
		value int
	}{{"max-connections", c.MaxConnections}, {"max-connections-per-source", c.MaxConnectionsPerSource}} {
		if limit.value < 0 {
			wrong(limit.flag, limit.value, "must not be negative")
		}
	}
	taken := map[int]int{}
	for _, port := range slices.Sorted(maps.Keys(c.PortMap)) {
		bound := c.PortMap[port]
		if port == OtherPorts && bound == 0 {
			continue
		}
		if port < 1 || port > 65535 || bound < 0 || bound > 65535 {
			wrong("port-map", fmt.Sprintf("%d=%d", port, bound), "ports must be between 1 and 65535; a listener port can also be bound as 0, which is any free port")
		}
		if other, ok := taken[bound]; ok && bound != 0 {
			wrong("port-map", fmt.Sprintf("%d=%d,%d=%d", other, bound, port, bound), "two listener ports cannot be bound as the same port")
		}
		taken[bound] = port
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		wrong("log-level", c.LogLevel, "must be debug, info, warn or error")
	}
	if !slices.Contains([]string{"text", "json"}, c.LogFormat) {
		wrong("log-format", c.LogFormat, "must be text or json")
	}
	c.Etcd.check(wrong)
	c.checkAPI(wrong)
	c.checkFunctions(wrong)
	c.Chaos.check(wrong)
	if err := c.Quotas.Check(); err != nil {
		wrong("quotas", nil, err.Error())
	}
}

// inventoryServices are the services of AWS that can be asked for an inventory, by the names that AWS's command line has for
// them.
func inventoryServices() []string { return []string{"ec2", "elbv2", "acm", "lambda"} }

// AskedServices are the services of --inventory-from, each once.
func (c Common) AskedServices() []string {
	if slices.Contains(c.InventoryFrom, "aws") {
		return inventoryServices()
	}
	return slices.DeleteFunc(inventoryServices(), func(service string) bool { return !slices.Contains(c.InventoryFrom, service) })
}

// checkLoopback keeps dev to this machine unless the operator permits more. A nil address means all addresses.
func (c Configuration) checkLoopback(flag, value string, address net.IP, wrong func(flag string, value any, want string)) {
	if c.Dev && !c.AllowRemote && !address.IsLoopback() {
		wrong(flag, value, "is not the loopback's, and in dev whoever reaches the ports may do anything without credentials; --allow-remote permits that")
	}
}

// Level returns the log level as slog knows it.
func (c Common) Level() slog.Level {
	var level slog.Level
	// check admits only names of slog's levels.
	_ = level.UnmarshalText([]byte(c.LogLevel))
	return level
}
