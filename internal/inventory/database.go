package inventory

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// Database is a database of RDS, a cluster of databases, or a substitute for one.
type Database struct {
	ARN string
	// Endpoints has one element, or those of a cluster, the writer's first.
	Endpoints []DatabaseEndpoint
}

// DatabaseEndpoint is an address at which a database accepts connections.
type DatabaseEndpoint struct {
	// Role is roleWriter or roleReader for a cluster, and empty for a database that has one endpoint.
	Role    string
	Address netip.AddrPort
	// DomainName is the name that RDS gave to the endpoint, in lower case, or "".
	DomainName string
}

// The roles of a cluster's endpoints.
const (
	roleWriter = "writer"
	roleReader = "reader"
)

type databaseEntry struct {
	ARN        string                  `yaml:"arn"`
	Address    string                  `yaml:"address"`
	Port       string                  `yaml:"port"`
	DomainName string                  `yaml:"domainName"`
	Endpoints  []databaseEndpointEntry `yaml:"endpoints"`
}

type databaseEndpointEntry struct {
	Role       string `yaml:"role"`
	Address    string `yaml:"address"`
	Port       string `yaml:"port"`
	DomainName string `yaml:"domainName"`
}

var (
	databaseARN  = regexp.MustCompile(`^arn:[a-z0-9-]+:rds:[a-z0-9-]+:\d{12}:[a-z-]+:[a-zA-Z0-9:.-]+$`)
	databaseName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

// Database returns a database.
func (s *Snapshot) Database(arn string) (Database, bool) {
	if s == nil {
		return Database{}, false
	}
	database, ok := s.databases[arn]
	return database, ok
}

// DatabaseAt returns the endpoint of a database that has a domain name, given in lower case.
func (s *Snapshot) DatabaseAt(domainName string) (DatabaseEndpoint, bool) {
	if s == nil {
		return DatabaseEndpoint{}, false
	}
	endpoint, ok := s.databaseNames[domainName]
	return endpoint, ok
}

func (b *builder) buildDatabases(f *file) {
	s := b.snapshot
	for i, e := range f.Databases {
		element(b, "databases", i, "arn", e.ARN, databaseARN, "arn:aws:rds:us-west-2:123456789012:db:orders", s.databases)
		database := Database{ARN: e.ARN}
		at := b.at
		if len(e.Endpoints) == 0 {
			database.Endpoints = append(database.Endpoints, b.databaseEndpoint(databaseEndpointEntry{Address: e.Address, Port: e.Port, DomainName: e.DomainName}))
		} else if e.Address != "" || e.Port != "" || e.DomainName != "" {
			b.wrong("a database has address, port and domainName, or endpoints, which have them")
		}
		for j, endpoint := range e.Endpoints {
			b.at = at + ".endpoints[" + strconv.Itoa(j) + "]"
			if wanted := map[bool]string{true: roleWriter, false: roleReader}[j == 0]; endpoint.Role != wanted {
				b.wrong("role is %q; the first endpoint is the %s, and those that follow are each a %s", endpoint.Role, roleWriter, roleReader)
			}
			if endpoint.DomainName == "" {
				b.wrong("domainName is missing: the name of the cluster's endpoint, such as carts.cluster-c9akciq32.us-west-2.rds.amazonaws.com")
			}
			database.Endpoints = append(database.Endpoints, b.databaseEndpoint(endpoint))
		}
		s.databases[e.ARN] = database
	}
}

func (b *builder) databaseEndpoint(e databaseEndpointEntry) DatabaseEndpoint {
	address := b.address(e.Address)
	port, err := strconv.ParseUint(e.Port, 10, 16)
	if err != nil || port == 0 {
		b.wrong("port: %q must be a port, such as 5432", e.Port)
	}
	endpoint := DatabaseEndpoint{Role: e.Role, Address: netip.AddrPortFrom(address, uint16(port)), DomainName: strings.ToLower(e.DomainName)}
	if endpoint.DomainName == "" {
		return endpoint
	}
	if !databaseName.MatchString(endpoint.DomainName) {
		b.wrong("domainName: %q must be a domain name, such as orders.c9akciq32.us-west-2.rds.amazonaws.com", e.DomainName)
	}
	if _, twice := b.snapshot.databaseNames[endpoint.DomainName]; twice {
		b.wrong("domainName: another database has %s", endpoint.DomainName)
	}
	b.snapshot.databaseNames[endpoint.DomainName] = endpoint
	return endpoint
}
