package configuration

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"trellis/internal/lattice"
)

// Etcd says how to reach a cluster that keeps the records instead of the embedded server.
type Etcd struct {
	Endpoints    []string `name:"endpoints" placeholder:"URL" help:"Use this etcd cluster instead of the embedded server, as in https://10.0.0.1:2379,https://10.0.0.2:2379."`
	CA           string   `name:"ca" placeholder:"FILE" help:"Authorities that certificates of https:// endpoints are checked with (default: the system's)."`
	Cert         string   `name:"cert" placeholder:"FILE" help:"Certificate to show to etcd. It and its key are read again for each connection."`
	Key          string   `name:"key" placeholder:"FILE" help:"Key of --etcd-cert."`
	User         string   `name:"user" placeholder:"NAME" help:"User of etcd. Its role has to permit reading and writing of the keys below --etcd-prefix."`
	PasswordFile string   `name:"password-file" placeholder:"FILE" help:"File with the password of --etcd-user."`
	Prefix       string   `name:"prefix" placeholder:"KEY" help:"Key below which everything is stored, as in /networks/a. Installations with different prefixes on one etcd do not see each other."`
}

// prefixPattern matches valid prefixes.
var prefixPattern = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+/?$`)

func (c Etcd) check(wrong func(flag string, value any, want string)) {
	secure := 0
	for _, endpoint := range c.Endpoints {
		scheme, ok := endpointScheme(endpoint)
		if !ok {
			wrong("etcd-endpoints", withoutPassword(endpoint), "must be URLs with a port, and without a user or a path, as in https://10.0.0.1:2379")
		}
		if scheme == "https" {
			secure++
		}
	}
	if secure != 0 && secure != len(c.Endpoints) {
		wrong("etcd-endpoints", strings.Join(c.Endpoints, ","), "must all begin with https://, or none")
	}
	for _, file := range []struct{ flag, value string }{{"etcd-ca", c.CA}, {"etcd-cert", c.Cert}, {"etcd-key", c.Key}} {
		switch {
		case file.value == "":
		case len(c.Endpoints) == 0:
			wrong(file.flag, file.value, "has a meaning together with --etcd-endpoints only")
		case secure == 0:
			wrong(file.flag, file.value, "needs --etcd-endpoints that begin with https://")
		}
	}
	for _, setting := range []struct{ flag, value string }{{"etcd-user", c.User}, {"etcd-password-file", c.PasswordFile}, {"etcd-prefix", c.Prefix}} {
		if setting.value != "" && len(c.Endpoints) == 0 {
			wrong(setting.flag, setting.value, "has a meaning together with --etcd-endpoints only")
		}
	}
	for _, pair := range []struct{ flag, value, other, otherValue string }{
		{"etcd-cert", c.Cert, "etcd-key", c.Key}, {"etcd-key", c.Key, "etcd-cert", c.Cert},
		{"etcd-user", c.User, "etcd-password-file", c.PasswordFile}, {"etcd-password-file", c.PasswordFile, "etcd-user", c.User},
	} {
		if pair.value != "" && pair.otherValue == "" {
			wrong(pair.flag, pair.value, "needs --"+pair.other+" too")
		}
	}
	switch {
	case c.Prefix == "":
	case !prefixPattern.MatchString(c.Prefix) || len(c.Prefix) > 256:
		wrong("etcd-prefix", c.Prefix, "must be names of letters, digits, dots, hyphens and underscores, each after a slash, as in /networks/a")
	case strings.Contains(strings.TrimSuffix(c.Prefix, "/")+"/", lattice.KeyPrefix):
		wrong("etcd-prefix", c.Prefix, "must not contain "+lattice.KeyPrefix+", since keys of another installation are below such a key")
	}
}

// endpointScheme returns the scheme of an endpoint, by default http. ok is false if the scheme is not supported.
func endpointScheme(endpoint string) (scheme string, ok bool) {
	scheme, address := splitEndpoint(endpoint)
	u, err := url.Parse(scheme + "://" + address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" || u.Hostname() == "" {
		return scheme, false
	}
	_, err = net.LookupPort("tcp", u.Port())
	return scheme, u.Port() != "" && err == nil && (scheme == "http" || scheme == "https")
}

// splitEndpoint returns the parts of an endpoint before and after ://. Without it, etcd's client assumes http.
func splitEndpoint(endpoint string) (scheme, address string) {
	if scheme, address, found := strings.Cut(endpoint, "://"); found {
		return scheme, address
	}
	return "http", endpoint
}

// withoutPassword hides a password in an endpoint.
func withoutPassword(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil && u.User != nil {
		return u.Redacted()
	}
	return endpoint
}

// warnings are about settings that work, but not as the operator may expect.
func (c Etcd) warnings() []string {
	var open []string
	for _, endpoint := range c.Endpoints {
		if scheme, ok := endpointScheme(endpoint); ok && scheme == "http" && !onLoopback(endpoint) {
			open = append(open, endpoint)
		}
	}
	if len(open) == 0 {
		return nil
	}
	secrets := "all records"
	if c.User != "" {
		secrets += ", and the password of --etcd-user,"
	}
	return []string{fmt.Sprintf("--etcd-endpoints %s: anybody on the way there can read and change %s, since the connection is not encrypted; "+
		"use https:// endpoints, with --etcd-ca, --etcd-cert and --etcd-key", strings.Join(open, ","), secrets)}
}

// onLoopback reports whether an endpoint is on this machine.
func onLoopback(endpoint string) bool {
	_, address := splitEndpoint(endpoint)
	host, _, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
	if err != nil {
		return false
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
