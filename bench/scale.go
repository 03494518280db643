package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The large configuration.
const (
	scaleServices = 10_000
	scaleSpread   = 500 // of them get requests, when the load is spread
	weightChanges = 100
)

// benchScale compares what a request costs with one service configured and with many, and measures how long a change
// of weights takes to reach the traffic.
func benchScale(ctx context.Context, o options, dir string) error {
	s, backend, err := startBackendFor(ctx, o, filepath.Join(dir, "scale"))
	if err != nil {
		return err
	}
	defer backend.stop()

	small, err := startScaled(ctx, o.trellis, s, "one service", filling{})
	if err != nil {
		return err
	}
	defer small.stop()
	large, err := startScaled(ctx, o.trellis, s, "10,000 services", filling{targetGroups: fullGroups, services: scaleServices, ports: s.HTTPBackends})
	if err != nil {
		return err
	}
	defer large.stop()
	hosts, err := large.someHosts(ctx)
	if err != nil {
		return err
	}

	r := rows[0]
	contestants := []contestant{
		{name: small.proxy.name, proxy: small.proxy, send: r.sendTo(dir, small.proxy, small.proxy.host, nil)},
		{name: large.proxy.name, proxy: large.proxy, send: r.sendTo(dir, large.proxy, large.proxy.host, nil)},
		{name: fmt.Sprintf("%d of them", len(hosts)), proxy: large.proxy, send: r.sendTo(dir, large.proxy, large.proxy.host, hosts)},
	}
	rounds, failures := takeTurns(ctx, o, "many services", contestants)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	fmt.Printf("\nTrellis with many services: %s, medians of %d rounds of %v; the ratio within a round: median (quartiles) (goal: within 5 %% of one service)\n\n", r.title, o.rounds, o.duration)
	fmt.Printf("| %-16s | %11s | %-16s | %10s |\n|------------------|-------------|------------------|------------|\n", "requests to", "CPU/request", "ratio", "requests/s")
	for i, c := range contestants {
		fmt.Printf("| %-16s | %8.2f us | %-16s | %10.0f |\n", c.name, microseconds(cpuMedian(rounds[i])), ratios(rounds[i], rounds[0]),
			medianOf(rounds[i], func(m measurement) float64 { return m.perSecond }))
	}
	fmt.Printf("\nA change of weights, durable, until the traffic follows (goal: 10 ms); %d changes\n\n", weightChanges)
	fmt.Printf("| %-16s | %8s | %8s | %8s | %-30s |\n|------------------|----------|----------|----------|--------------------------------|\n", "store", "p50", "p99", "longest", "requests that went the old way")
	for _, store := range []*scaled{small, large} {
		times, stale, err := store.changeWeights(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", store.proxy.name, err)
		}
		fmt.Printf("| %-16s | %5.2f ms | %5.2f ms | %5.2f ms | %30d |\n", store.proxy.name,
			milliseconds(times[len(times)/2]), milliseconds(times[len(times)*99/100]), milliseconds(times[len(times)-1]), stale)
	}
	fmt.Println()
	return nil
}

// scaled is a Trellis with a number of services.
type scaled struct {
	proxy *proxy
	api   *apiClient

	service, listener resource
	groups            [2]resource // each has one of the backends
}

// startScaled starts a Trellis on a filled store, with a service of its own whose two target groups share the requests.
func startScaled(ctx context.Context, program string, s setting, name string, f filling) (*scaled, error) {
	s, err := s.forProxy(strings.ReplaceAll(name, " ", "-"))
	if err != nil {
		return nil, err
	}
	if f.services > 0 {
		if err := fill(ctx, filepath.Join(s.Dir, "data"), f); err != nil {
			return nil, err
		}
	}
	p, api, err := startTrellisOnCore(ctx, program, s, "--quotas",
		"targetGroupsPerRegion=1000000,servicesPerRegion=100000,serviceAssociationsPerServiceNetwork=100000")
	if err != nil {
		return nil, err
	}
	store := &scaled{api: api, proxy: &proxy{name: name, version: versionOfTrellis(ctx, program), process: p, ports: map[listener]int{plain: s.Plain}}}
	if err := store.build(ctx, s); err != nil {
		err = fmt.Errorf("%w\n%s", err, p.output)
		store.stop()
		return nil, err
	}
	return store, nil
}

func (store *scaled) build(ctx context.Context, s setting) (err error) {
	b := builder{api: store.api, setting: s}
	if b.network, err = b.create(ctx, "/servicenetworks", object{"name": "bench"}); err != nil {
		return err
	}
	if store.service, err = b.createService(ctx, object{"name": "bench"}); err != nil {
		return err
	}
	store.proxy.host = store.service.DNSEntry.DomainName
	for i := range store.groups {
		name := fmt.Sprintf("bench-%d", i)
		if store.groups[i], err = b.createGroup(ctx, uncheckedGroup(name, "HTTP", "HTTP1"), s.HTTPBackends[i:i+1]); err != nil {
			return err
		}
	}
	store.listener, err = b.create(ctx, "/services/"+store.service.ID+"/listeners", object{
		"name": "http", "protocol": "HTTP", "port": portHTTP, "defaultAction": store.weights(50, 50),
	})
	if err != nil {
		return err
	}
	return store.proxy.process.awaitPort(ctx, s.Plain)
}

func (store *scaled) stop() {
	store.api.close()
	store.proxy.process.stop()
}

// weights is an action that splits the requests between the groups.
func (store *scaled) weights(first, second int) object {
	return object{"forward": object{"targetGroups": []object{
		{"targetGroupIdentifier": store.groups[0].ID, "weight": first},
		{"targetGroupIdentifier": store.groups[1].ID, "weight": second},
	}}}
}

// someHosts returns host names of services that the store was filled with.
func (store *scaled) someHosts(ctx context.Context) ([]string, error) {
	var hosts []string
	query := "maxResults=100"
	for len(hosts) < scaleSpread {
		answer, err := store.api.send(ctx, http.MethodGet, "/services", query, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Items     []resource `json:"items"`
			NextToken string     `json:"nextToken"`
		}
		if err := json.Unmarshal(answer, &page); err != nil {
			return nil, err
		}
		for _, service := range page.Items {
			if service.ID != store.service.ID {
				hosts = append(hosts, service.DNSEntry.DomainName)
			}
		}
		if page.NextToken == "" {
			break
		}
		query = "maxResults=100&nextToken=" + url.QueryEscape(page.NextToken)
	}
	return hosts[:min(len(hosts), scaleSpread)], nil
}

// changeWeights sends all requests to one group, then to the other, and so on. A change has applied when the API has
// answered and a request that is sent after that, on a kept connection, goes the new way.
func (store *scaled) changeWeights(ctx context.Context) (times []time.Duration, stale int, err error) {
	conn, err := net.Dial("tcp", loopback(store.proxy.ports[plain]))
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	path := "/services/" + store.service.ID + "/listeners/" + store.listener.ID
	ports := make(map[string]int) // which group answers from which port
	for i := range weightChanges {
		action := store.weights(100, 0)
		if i%2 == 1 {
			action = store.weights(0, 100)
		}
		began := time.Now()
		if err := store.api.call(ctx, http.MethodPatch, path, object{"defaultAction": action}, nil); err != nil {
			return nil, 0, err
		}
		port, err := askWhich(conn, reader, store.proxy.host)
		if err != nil {
			return nil, 0, err
		}
		times = append(times, time.Since(began))
		if group, known := ports[port]; known && group != i%2 {
			stale++
		} else {
			ports[port] = i % 2
		}
	}
	if len(ports) != 2 {
		return nil, 0, fmt.Errorf("the responses come from the ports %v; they should come from two", ports)
	}
	slices.Sort(times)
	return times, stale, nil
}

// askWhich sends a request and returns the port of the backend that answered.
func askWhich(conn net.Conn, reader *bufio.Reader, host string) (string, error) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET /which HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	port, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the response is %s", response.Status)
	}
	return string(port), err
}
