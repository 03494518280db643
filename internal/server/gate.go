package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"trellis/internal/excerpt"
)

// gate keeps web pages out of a port. A browser lets a page send requests to any address, this machine's loopback too, and
// lets it read the responses if the page's own name has been made to resolve to that address (DNS rebinding).
type gate struct {
	next http.Handler
	// anyHost is set for a port whose requests prove by their signature who sent them.
	anyHost bool
	// hosts are the names by which clients may address the port, in lower case, besides those that nobody else can point at
	// it. A name that begins with a dot stands for all names below it.
	hosts []string
	// refuse responds to a request that is not admitted.
	refuse func(w http.ResponseWriter, r *http.Request, message string)
}

// allowedHosts are the names of a gate: the operator's names for this node's ports.
func (s *Server) allowedHosts() []string {
	hosts := make([]string, 0, len(s.cfg.AllowedHosts)+2)
	for _, host := range s.cfg.AllowedHosts {
		hosts = append(hosts, strings.ToLower(host))
	}
	for _, address := range []string{s.cfg.APIAddr, s.cfg.AdminAddr} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
			hosts = append(hosts, strings.ToLower(host))
		}
	}
	return hosts
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !g.anyHost && !g.admits(r.Host):
		host := hostName(r.Host)
		g.refuse(w, r, fmt.Sprintf("This port does not know itself by the name %q, which may be a web page's way to get at it. "+
			"If the name is yours, start Trellis with --allowed-hosts %[1]s.", excerpt.Of(host, longestName)))
	case fromAnotherOrigin(r):
		g.refuse(w, r, "The request comes from a web page of another origin, and none of those may use this port.")
	default:
		g.next.ServeHTTP(w, r)
	}
}

// admits reports whether a request may be for a host. An address is beyond DNS, and so are names below localhost
// (RFC 6761 6.3). Without a Host, which HTTP/1.0 permits, a request comes from no browser.
func (g *gate) admits(host string) bool {
	name := hostName(host)
	if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return slices.ContainsFunc(g.hosts, func(allowed string) bool {
		return name == allowed || allowed[0] == '.' && len(name) > len(allowed) && strings.HasSuffix(name, allowed)
	})
}

// hostName returns what a Host header names, without the port, the brackets and the dot at the end, in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// fromAnotherOrigin reports whether a web page of another origin sent a request: as the browser says itself, or, if it is
// too old for that, as the page's origin shows. Only a link that the user follows may lead here. Package net/http has
// something similar, but lets pages send requests that only read, and reading a profile has its cost.
func fromAnotherOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "":
		origin := r.Header.Get("Origin")
		if origin == "" {
			return false // not a browser
		}
		u, err := url.Parse(origin)
		return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
	case "same-origin", "none":
		return false
	default:
		follows := r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
		return !follows
	}
}

// longestName is the longest host name (RFC 1035 2.3.4).
const longestName = 253
