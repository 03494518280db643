package resolver

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/template"
)

// maxRouted bounds the domains that are printed: for more, the hosts file or --dns-forward serve better.
const maxRouted = 50

// Setup is the command `trellis dns setup`. Its fields are the command's flags.
type Setup struct{ Admin string }

// Run prints how resolvers are pointed at the node, and returns the exit code.
func (c Setup) Run(ctx context.Context, out, errOut io.Writer) int {
	if err := checkAdmin(c.Admin); err != nil {
		fmt.Fprintf(errOut, "trellis dns setup: %v\n", err)
		return exitUsage
	}
	names, err := readList(ctx, c.Admin)
	if err == nil && names.DNS == "" {
		err = fmt.Errorf("the node at %s does not answer DNS; start it with --dns-addr, as in --dns-addr 127.0.0.1:7653", c.Admin)
	}
	if err == nil {
		err = printSetup(out, names)
	}
	if err != nil {
		fmt.Fprintf(errOut, "trellis dns setup: %v\n", err)
		return exitFailed
	}
	return 0
}

// domains returns the domains below which the node's names are: the zones, and each other name by itself.
func (l list) domains() []string {
	domains := slices.Clone(l.Zones)
	for _, e := range l.Entries {
		if hostName.MatchString(e.Name) && !slices.ContainsFunc(domains, func(d string) bool { return e.Name == d || strings.HasSuffix(e.Name, "."+d) }) {
			domains = append(domains, e.Name)
		}
		if len(domains) == maxRouted {
			break
		}
	}
	return domains
}

func printSetup(out io.Writer, names list) error {
	server, err := netip.ParseAddrPort(names.DNS)
	if err != nil {
		return fmt.Errorf("the node answers DNS at %q, which is not an address with a port: %w", names.DNS, err)
	}
	if server.Addr().IsUnspecified() {
		local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		server = netip.AddrPortFrom(local, server.Port())
	}
	domains := names.domains()
	return setup.Execute(out, struct {
		Address netip.Addr
		Port    uint16
		Server  netip.AddrPort
		Routed  string
		Domains []string
	}{server.Addr(), server.Port(), server, "~" + strings.Join(domains, " ~"), domains})
}

// setupText is a template. It is parsed when it is used, since packages have no state.
type setupText string

// Execute writes the steps for a server and its domains.
func (s setupText) Execute(out io.Writer, data any) error {
	parsed, err := template.New("setup").Parse(string(s))
	if err != nil {
		return err
	}
	return parsed.Execute(out, data)
}

const setup setupText = `The node answers DNS at {{.Server}}, for these domains:
{{range .Domains}}  {{.}}
{{end}}
Nothing below is done for you. Each way stands for itself and ends with how it is undone. "trellis dns check NAME" tells
whether it works; "trellis dns install" needs none of them.

== systemd-resolved (version 246 or later) ==
  sudo mkdir -p /etc/systemd/resolved.conf.d
  printf '[Resolve]\nDNS={{.Server}}\nDNSSEC=no\nDomains={{.Routed}}\n' | sudo tee /etc/systemd/resolved.conf.d/trellis.conf
  sudo systemctl restart systemd-resolved
Undo:
  sudo rm /etc/systemd/resolved.conf.d/trellis.conf
  sudo systemctl restart systemd-resolved
systemd-resolved answers names below localhost itself, with the loopback's addresses, and asks nobody.

== NetworkManager with dnsmasq ==
  printf '[main]\ndns=dnsmasq\n' | sudo tee /etc/NetworkManager/conf.d/trellis.conf
  printf '%s\n'{{range .Domains}} 'server=/{{.}}/{{$.Address}}#{{$.Port}}'{{end}} | sudo tee /etc/NetworkManager/dnsmasq.d/trellis.conf
  sudo systemctl restart NetworkManager
Undo:
  sudo rm /etc/NetworkManager/conf.d/trellis.conf /etc/NetworkManager/dnsmasq.d/trellis.conf
  sudo systemctl restart NetworkManager

== macOS ==
{{if ne .Port 53}}Some programs ignore a port in /etc/resolver. Let the node answer on port 53 of the loopback first, which takes root:
  sudo trellis dev --dns-addr 127.0.0.1:53
{{end}}  sudo mkdir -p /etc/resolver
{{range .Domains}}  echo 'nameserver {{if eq $.Port 53}}{{$.Address}}{{else}}127.0.0.1{{end}}' | sudo tee /etc/resolver/{{.}}
{{end}}  sudo killall -HUP mDNSResponder
Undo:
  sudo rm{{range .Domains}} /etc/resolver/{{.}}{{end}}
  sudo killall -HUP mDNSResponder

== Containers ==
A container needs a server on port 53 of an address that it reaches, which also answers all other names. With Docker's
usual bridge, start the node with the servers of the machine's resolv.conf as --dns-forward:
  trellis serve --dns-addr 172.17.0.1:53 --dns-forward SERVER
  docker run --dns 172.17.0.1 IMAGE
Undo: run the container without --dns.
`
