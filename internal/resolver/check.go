package resolver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"codeberg.org/miekg/dns"

	"trellis/internal/nearest"
)

// The files that list a system's DNS servers. The second exists while systemd-resolved runs.
const (
	resolvConf     = "/etc/resolv.conf"
	resolvedStub   = "/run/systemd/resolve/stub-resolv.conf"
	resolvedServer = "127.0.0.53:53"
)

// Check is the command `trellis dns check`. Its fields are the command's flags and arguments.
type Check struct {
	Admin string
	Hosts string // "" is the system's.
	Name  string
}

// answer is a resolver's answer about a name.
type answer struct {
	resolver  string
	addresses []netip.Addr
	err       error
}

// Run shows what resolvers answer, and returns the exit code: 0 if the system's finds what the node has.
func (c Check) Run(ctx context.Context, out, errOut io.Writer) int {
	if err := checkAdmin(c.Admin); err != nil {
		fmt.Fprintf(errOut, "trellis dns check: %v\n", err)
		return exitUsage
	}
	name := strings.ToLower(strings.TrimSuffix(c.Name, "."))
	if len(name) > 253 || !hostName.MatchString(name) {
		fmt.Fprintf(errOut, "trellis dns check: %q: must be a whole domain name, as in orders.example.com\n", c.Name)
		return exitUsage
	}
	if c.Hosts == "" {
		c.Hosts = systemHosts()
	}
	names, nodeErr := readList(ctx, c.Admin)
	system := askSystem(ctx, name)
	answers := []answer{system, c.readHosts(name)}
	for _, server := range systemServers() {
		answers = append(answers, askServer(ctx, server.label, server.address, name))
	}
	if names.DNS != "" {
		answers = append(answers, askServer(ctx, "Trellis at "+names.DNS, names.DNS, name))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, a := range answers {
		fmt.Fprintf(table, "%s\t%s\n", a.resolver, a.text())
	}
	table.Flush()
	fmt.Fprintln(out)
	good, advice := advise(name, names, nodeErr, system)
	fmt.Fprintln(out, advice)
	if !good {
		return exitFailed
	}
	return 0
}

func (a answer) text() string {
	switch {
	case a.err != nil:
		return "no answer: " + a.err.Error()
	case len(a.addresses) == 0:
		return "does not know it"
	}
	return text(a.addresses)
}

func text(addresses []netip.Addr) string {
	texts := make([]string, len(addresses))
	for i, address := range addresses {
		texts[i] = address.String()
	}
	return strings.Join(texts, ", ")
}

// advise says what to do, and reports whether programs of this machine find the name.
func advise(name string, names list, nodeErr error, system answer) (good bool, advice string) {
	if nodeErr != nil {
		return false, "The node could not be asked: " + nodeErr.Error()
	}
	at := slices.IndexFunc(names.Entries, func(e entry) bool { return e.Name == name })
	if at < 0 {
		var known []string
		for _, e := range names.Entries {
			known = append(known, e.Name)
		}
		advice = "The node has no such name."
		if likely := nearest.Name(name, known); likely != "" {
			advice += " It has " + likely + "."
		}
		return false, advice
	}
	want := names.Entries[at].Addresses
	other := slices.DeleteFunc(slices.Clone(system.addresses), func(found netip.Addr) bool { return leadsTo(found, want) })
	switch {
	case len(other) > 0:
		return false, "Programs of this machine find " + text(other) + ", and the node is at " + text(want) + ". Remove the name from the resolver\n" +
			"or file that answers so; a line of the hosts file goes before DNS:\n  sudo trellis dns install"
	case len(system.addresses) > 0:
		return true, "Programs of this machine find the name."
	case names.DNS == "":
		return false, "Programs of this machine do not find the name, and the node does not answer DNS (--dns-addr). Use the hosts file:\n  sudo trellis dns install"
	}
	return false, "Programs of this machine do not find the name. Use the hosts file:\n  sudo trellis dns install\nor point the resolver at the node, as this prints:\n  trellis dns setup"
}

// leadsTo reports whether an address is one that a node has for a name. Many resolvers answer names below localhost with
// both addresses of the loopback, whatever the node has; clients try the second after the first.
func leadsTo(found netip.Addr, want []netip.Addr) bool {
	return slices.Contains(want, found) ||
		found == netip.IPv6Loopback() && slices.Contains(want, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// askSystem looks a name up as programs of this machine do. getent calls getaddrinfo, with all that nsswitch.conf names;
// a Go program without cgo does not.
func askSystem(ctx context.Context, name string) answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if tool, err := exec.LookPath("getent"); err == nil {
		a := answer{resolver: "this system (getaddrinfo)"}
		output, err := exec.CommandContext(ctx, tool, "ahosts", name).Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) { // getent exits with 2 for an unknown name.
			a.err = err
		}
		for line := range strings.Lines(string(output)) {
			if address, err := netip.ParseAddr(strings.Fields(line + " -")[0]); err == nil {
				a.addresses = append(a.addresses, address.Unmap())
			}
		}
		a.addresses = unique(a.addresses)
		return a
	}
	a := answer{resolver: "this system (" + runtime.GOOS + ")"}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var missing *net.DNSError
	if err != nil && !(errors.As(err, &missing) && missing.IsNotFound) {
		a.err = err
	}
	for _, address := range addresses {
		a.addresses = append(a.addresses, address.Unmap())
	}
	a.addresses = unique(a.addresses)
	return a
}

func unique(addresses []netip.Addr) []netip.Addr {
	slices.SortFunc(addresses, netip.Addr.Compare)
	return slices.Compact(addresses)
}

func (c Check) readHosts(name string) answer {
	a := answer{resolver: c.Hosts}
	file, _, err := readHosts(c.Hosts)
	if a.err = err; err == nil {
		a.addresses = unique(file.all()[name])
	}
	return a
}

// server is a DNS server of this machine.
type server struct{ label, address string }

// systemServers returns the DNS servers that this machine asks.
func systemServers() []server {
	var servers []server
	if _, err := os.Stat(resolvedStub); err == nil {
		servers = append(servers, server{"systemd-resolved", resolvedServer})
	}
	file, err := os.Open(resolvConf)
	if err != nil {
		return servers // Windows has no such file.
	}
	defer file.Close()
	for _, address := range nameservers(io.LimitReader(file, 1<<20)) {
		if s := net.JoinHostPort(address.String(), "53"); s != resolvedServer {
			servers = append(servers, server{resolvConf + ": " + address.String(), s})
		}
	}
	return servers
}

// nameservers returns the servers that a resolv.conf(5) names, three at most, as the C library reads.
func nameservers(r io.Reader) []netip.Addr {
	var addresses []netip.Addr
	for lines := bufio.NewScanner(r); lines.Scan() && len(addresses) < 3; {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// askServer asks a DNS server for the addresses of a name, over UDP.
func askServer(ctx context.Context, label, address, name string) answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a := answer{resolver: label}
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m := dns.NewMsg(name+".", kind)
		m.ID = dns.ID()
		client := &dns.Client{Transport: dns.NewTransport()}
		client.ReadTimeout = askTimeout
		r, _, err := client.Exchange(ctx, m, "udp", address)
		switch {
		case err != nil:
			a.err = err
			return a
		case r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError:
			a.err = errors.New(dns.RcodeToString[r.Rcode])
			return a
		}
		for _, record := range r.Answer {
			switch record := record.(type) {
			case *dns.A:
				a.addresses = append(a.addresses, record.Addr)
			case *dns.AAAA:
				a.addresses = append(a.addresses, record.Addr)
			}
		}
	}
	return a
}
