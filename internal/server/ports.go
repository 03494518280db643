package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"trellis/internal/configuration"
	"trellis/internal/proxy"
	"trellis/internal/proxy/socket"
	"trellis/internal/proxy/steering"
)

// listenData opens a port of the data plane, or takes over the old process's socket for it.
func (s *Server) listenData(listenerPort int, address string) (net.Listener, error) {
	listener, err := s.takeover.listen(proxy.ListenConfig(), s.cfg.dataSocketName(listenerPort), address)
	if err != nil {
		return nil, bindError{err, fmt.Sprintf("--port-map %d=PORT", listenerPort)}
	}
	return listener, nil
}

// steer makes the kernel bring connections to resources to a few sockets, if it can. It returns where to bind these.
func (s *Server) steer() (table *steering.Table, gates []netip.AddrPort) {
	if s.cfg.ResourceRange.Size() == 0 {
		return nil, nil
	}
	if table, s.unsteered = steering.New(s.cfg.ResourceRange); s.unsteered != nil {
		s.log.Info("of resources with wide port ranges, only the ports of --resource-ports can be open (docs/resources.md)", "error", s.unsteered)
	}
	return table, steering.Gates(s.cfg.ResourceRange)
}

// resources returns, in words, where resources are reached.
func (s *Server) resources() string {
	var networks []string
	for _, network := range []netip.Prefix{s.cfg.ResourceRange.IPv4, s.cfg.ResourceRange.IPv6} {
		if network.IsValid() {
			networks = append(networks, network.String())
		}
	}
	where := strings.Join(networks, " and ")
	if s.unsteered != nil {
		return where + ", at up to 64 ports each (docs/resources.md)"
	}
	return where + ", at all ports"
}

// listenResource opens an address and a port of a resource, or takes over the old process's socket for it.
func (s *Server) listenResource(at netip.AddrPort) (net.Listener, error) {
	config := proxy.ListenConfig()
	if at.Addr().Is6() {
		// Addresses of a local route (ip -6 route add local NETWORK dev lo) are on no interface.
		config.Control = socket.FreeBind
	}
	return s.takeover.listen(config, resourceSocketName(at), at.String())
}

// resourceSocketName names the socket of a resource for the other process of an upgrade.
func resourceSocketName(at netip.AddrPort) string { return socketName(resourceSocket, at.String()) }

// dataSocketName names the socket of a listener's port for the other process of an upgrade. Sockets on any free port have
// the same configured address.
func (c Config) dataSocketName(listenerPort int) string {
	name := socketName(dataSocket, c.dataAddress(listenerPort))
	if c.boundPort(listenerPort) == 0 {
		name += fmt.Sprintf(" for %d", listenerPort)
	}
	return name
}

// dataAddress is the address for a listener's port.
func (c Config) dataAddress(listenerPort int) string {
	return net.JoinHostPort(c.DataAddr, strconv.Itoa(c.boundPort(listenerPort)))
}

// bindError says that a port cannot be bound, and what the operator can do.
type bindError struct {
	err  error
	flag string // the flag that chooses another port
}

func (e bindError) Unwrap() error { return e.err }

func (e bindError) Error() string {
	switch {
	case errors.Is(e.err, fs.ErrPermission):
		return fmt.Sprintf("%v; ports below 1024 need a privilege: %s chooses another port; "+
			"setcap cap_net_bind_service=+ep PROGRAM, or AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, gives it", e.err, e.flag)
	case errors.Is(e.err, syscall.EADDRINUSE):
		return fmt.Sprintf("%v; end the program that has the port, or choose another one with %s", e.err, e.flag)
	}
	return e.err.Error()
}

// portsOfItsOwn are flags with which another process finds free ports.
const portsOfItsOwn = "--api-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --port-map 80=0,443=0"

// listenOwn opens the API's or the admin port.
func (s *Server) listenOwn(ctx context.Context, purpose, flag, address string) (net.Listener, error) {
	listener, err := s.takeover.listen(net.ListenConfig{}, socketName(purpose, address), address)
	switch {
	case err == nil:
		s.atClose(func() error {
			if err := listener.Close(); !errors.Is(err, net.ErrClosed) { // run may have closed it already
				return err
			}
			return nil
		})
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE) && answersAsTrellis(ctx, address):
		return nil, fmt.Errorf("--%s %s: another Trellis is running there already; use that one, or give this one ports of its own, as with %s",
			flag, address, portsOfItsOwn)
	default:
		return nil, fmt.Errorf("--%s %s: %w", flag, address, bindError{err, "--" + flag})
	}
}

// tryMappedPorts is for dev, whose ports are the same for everybody: when another Trellis has one, a client would reach
// that one instead of this one, and nobody would understand the responses. So it is an error; a port that another program
// has, or that cannot be bound for another reason, is a problem that it returns.
func (s *Server) tryMappedPorts(ctx context.Context) (problems []proxy.Problem, err error) {
	if !s.cfg.Dev || s.takeover.channel != nil { // The process to take over from has them.
		return nil, nil
	}
	for _, port := range slices.Sorted(maps.Keys(s.cfg.PortMap)) {
		if port == configuration.OtherPorts {
			continue
		}
		address := s.cfg.dataAddress(port)
		config := proxy.ListenConfig()
		listener, err := config.Listen(ctx, "tcp", address)
		if err == nil {
			listener.Close()
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) && answersAsTrellis(ctx, address) {
			return nil, fmt.Errorf("--port-map %d=%d: another Trellis has %s already; use that one, or give this one ports of its own, as with --port-map 80=0,443=0",
				port, s.cfg.boundPort(port), address)
		}
		problems = append(problems, proxy.Problem{Port: port, Address: address, Err: bindError{err, fmt.Sprintf("--port-map %d=PORT", port)}})
	}
	return problems, nil
}

// answersAsTrellis reports whether another Trellis has the port at an address.
func answersAsTrellis(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		address = net.JoinHostPort("localhost", port)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.Header.Get("Server") == serverName || response.Header.Get("X-Trellis-Problem") != ""
}

// boundPort says how a port of listeners is bound.
type boundPort struct {
	Port    int    `json:"port"`
	Address string `json:"address"`
	// Problem says why it is not bound.
	Problem   string   `json:"problem,omitempty"`
	Listeners []string `json:"listeners"`
}

// ports responds with how the ports of listeners are bound: GET /ports.
func (s *Server) ports(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.boundPorts())
}

// boundPorts returns how the ports of listeners are bound.
func (s *Server) boundPorts() []boundPort {
	problems := map[int]proxy.Problem{}
	for _, p := range s.proxy.Problems() {
		problems[p.Port] = p
	}
	answer := []boundPort{}
	for _, port := range s.router.Ports() {
		entry := boundPort{Port: port.Number, Address: s.cfg.dataAddress(port.Number), Listeners: port.Listeners()}
		if address := s.proxy.Addr(port.Number); address != nil {
			entry.Address = address.String()
		}
		if problem, ok := problems[port.Number]; ok {
			entry.Problem = problem.Err.Error()
		}
		answer = append(answer, entry)
	}
	return answer
}

// portProblems are the ports that cannot be bound, in words.
func (s *Server) portProblems() []string {
	var problems []string
	for _, p := range s.proxy.Problems() {
		problems = append(problems, p.String())
	}
	return problems
}

// showProblems shows the operator the ports that cannot be bound, each once.
func (s *Server) showProblems() {
	for _, problem := range append(s.proxy.Problems(), s.portsInUse...) {
		if !s.shownProblems[problem.Port] {
			s.shownProblems[problem.Port] = true
			fmt.Fprintf(s.cfg.Out, "  !      %s\n", problem)
		}
	}
}

// boundAddress returns the address at which a listener's port is bound, or would be.
func (s *Server) boundAddress(listenerPort int) string {
	if address := s.proxy.Addr(listenerPort); address != nil {
		return address.String()
	}
	return s.cfg.dataAddress(listenerPort)
}

// dataPorts returns how listener ports are bound.
func (s *Server) dataPorts() string {
	if len(s.cfg.PortMap) == 0 {
		return "listener port N on " + net.JoinHostPort(s.cfg.DataAddr, "N")
	}
	var parts []string
	others := "others as they are"
	for _, port := range slices.Sorted(maps.Keys(s.cfg.PortMap)) {
		if port == configuration.OtherPorts {
			others = "others on any free port (see /ports of the admin port)"
			continue
		}
		address := s.boundAddress(port)
		if _, number, _ := net.SplitHostPort(address); number == "0" {
			address = "any free port of " + s.cfg.DataAddr + " (see /ports of the admin port)"
		}
		parts = append(parts, fmt.Sprintf("listener port %d on %s", port, address))
	}
	return strings.Join(append(parts, others), ", ")
}
