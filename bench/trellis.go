package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"
)

// startTrellis starts `trellis serve`, durable as in production, and returns a client of its API.
func startTrellis(ctx context.Context, core string, env []string, program, dir string, apiPort, adminPort int, args ...string) (*process, *apiClient, error) {
	p, err := start(core, env, program, append([]string{
		"serve", "--data-dir", dir, "--api-addr", loopback(apiPort), "--admin-addr", loopback(adminPort), "--api-rate", "0",
		"--allow-targets", "127.0.0.0/8",
	}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	err = await(ctx, "trellis to be ready", 5*time.Millisecond, func() (bool, error) {
		select {
		case <-p.exited:
			return false, errors.New("it ended")
		default:
			return ready(ctx, adminPort), nil
		}
	})
	var k keys
	if err == nil {
		k, err = readCredentials(filepath.Join(dir, "credentials"))
	}
	if err != nil {
		p.stop()
		return nil, nil, fmt.Errorf("%w\n%s", err, p.output)
	}
	return p, newAPIClient(loopback(apiPort), k), nil
}

// ready asks the admin port whether API and data plane serve.
func ready(ctx context.Context, adminPort int) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+loopback(adminPort)+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// The listener ports of the services.
const (
	portHTTP        = 80
	portHTTPS       = 443
	portPassthrough = 8443
)

// startTrellisProxy starts a Trellis on one core that forwards to the backends.
func startTrellisProxy(ctx context.Context, name, program string, s setting) (*proxy, error) {
	p, b, err := startTrellisAndBuild(ctx, name, program, s)
	if err == nil {
		b.api.close()
	}
	return p, err
}

// startTrellisAndBuild is startTrellisProxy for those who change the network afterwards. They must close the builder's API.
func startTrellisAndBuild(ctx context.Context, name, program string, s setting) (*proxy, *builder, error) {
	s, err := s.forProxy(name)
	if err != nil {
		return nil, nil, err
	}
	// Two of them run beside each other, with a range each.
	addresses := map[bool]string{true: "127.98", false: "127.99"}[name == otherTrellis]
	p, api, err := startTrellisOnCore(ctx, program, s, "--resource-range", addresses+".0.0/16")
	if err != nil {
		return nil, nil, err
	}
	out := &proxy{
		tcpAddress: net.JoinHostPort(addresses+".0.1", strconv.Itoa(s.HTTPBackends[0])),
		name:       name, version: versionOfTrellis(ctx, program), process: p, missing: make(map[listener]error),
		ports: map[listener]int{plain: s.Plain, tlsListener: s.TLS, passthrough: s.Passthrough},
	}
	b := &builder{api: api, setting: s}
	out.host, err = b.buildHTTP(ctx)
	if err == nil {
		err = p.awaitPort(ctx, s.Plain)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, p.output)
		api.close()
		p.stop()
		return nil, nil, err
	}
	out.missing[tlsListener] = b.buildTLS(ctx)
	out.missing[passthrough] = b.buildPassthrough(ctx)
	_, out.missing[tcp] = b.buildResource(ctx)
	return out, b, nil
}

// startTrellisOnCore starts a Trellis as the proxies run: on one core.
func startTrellisOnCore(ctx context.Context, program string, s setting, args ...string) (*process, *apiClient, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, nil, err
	}
	args = append(args, "--port-map", fmt.Sprintf("%d=%d,%d=%d,%d=%d", portHTTP, s.Plain, portHTTPS, s.TLS, portPassthrough, s.Passthrough))
	return startTrellis(ctx, coreOfProxy, []string{"GOMAXPROCS=1"}, program, filepath.Join(s.Dir, "data"), ports[0], ports[1], args...)
}

// resource has the members of the API's responses that the bench uses.
type resource struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	DNSEntry struct {
		DomainName string `json:"domainName"`
	} `json:"dnsEntry"`
	Items []struct {
		Status string `json:"status"`
	} `json:"items"`
}

// object is the JSON of a request.
type object = map[string]any

// builder builds the network that all proxies stand for, through the API.
type builder struct {
	api     *apiClient
	setting setting

	network, service, group resource
	logs                    resource // the subscription to access logs
}

// create creates something and waits until it is ACTIVE, if it has a status.
func (b *builder) create(ctx context.Context, path string, in object) (resource, error) {
	var r resource
	if err := b.api.call(ctx, http.MethodPost, path, in, &r); err != nil || r.Status == "" {
		return r, err
	}
	err := await(ctx, path+" to become ACTIVE", 50*time.Millisecond, func() (bool, error) {
		var now resource
		err := b.api.call(ctx, http.MethodGet, path+"/"+r.ID, nil, &now)
		return now.Status == "ACTIVE", err
	})
	return r, err
}

// buildHTTP creates a service on port 80 that forwards to the backends, and waits until they are healthy.
func (b *builder) buildHTTP(ctx context.Context) (host string, err error) {
	if b.network, err = b.create(ctx, "/servicenetworks", object{"name": "bench"}); err != nil {
		return "", err
	}
	if b.service, err = b.createService(ctx, object{"name": "bench", "idleTimeoutSeconds": 600}); err != nil {
		return "", err
	}
	if b.group, err = b.createGroup(ctx, targetGroup("bench"), b.setting.HTTPBackends); err != nil {
		return "", err
	}
	l, err := b.createListener(ctx, b.service, "HTTP", portHTTP, b.group)
	if err != nil {
		return "", err
	}
	sink, err := b.createGroup(ctx, targetGroup("sink"), b.setting.SinkBackends)
	if err != nil {
		return "", err
	}
	if err := b.createRule(ctx, l, "sink", uploadPath, sink); err != nil {
		return "", err
	}
	return b.service.DNSEntry.DomainName, b.awaitHealthy(ctx)
}

// buildTLS adds a listener for TLS, which forwards to the same backends, and gRPC to others.
func (b *builder) buildTLS(ctx context.Context) error {
	l, err := b.createListener(ctx, b.service, "HTTPS", portHTTPS, b.group)
	if err != nil {
		return err
	}
	group, err := b.createGroup(ctx, uncheckedGroup("grpc", "HTTP", "GRPC"), b.setting.GRPCBackends)
	if err != nil {
		return err
	}
	return b.createRule(ctx, l, "grpc", grpcPath, group)
}

// createRule forwards the requests for a path to another target group.
func (b *builder) createRule(ctx context.Context, l resource, name, path string, group resource) error {
	_, err := b.create(ctx, "/services/"+b.service.ID+"/listeners/"+l.ID+"/rules", object{
		"name": name, "priority": 1,
		"match":  object{"httpMatch": object{"pathMatch": object{"match": object{"exact": path}}}},
		"action": forward(group),
	})
	return err
}

// buildPassthrough creates a service whose TLS is passed through.
func (b *builder) buildPassthrough(ctx context.Context) error {
	service, err := b.createService(ctx, object{"name": "passthrough", "customDomainName": passthroughHost})
	if err != nil {
		return err
	}
	group, err := b.createGroup(ctx, uncheckedGroup("tls", "TCP", ""), b.setting.TLSBackends)
	if err != nil {
		return err
	}
	_, err = b.createListener(ctx, service, "TLS_PASSTHROUGH", portPassthrough, group)
	return err
}

// buildResource creates a resource at one of the backends, and returns its association with the network.
func (b *builder) buildResource(ctx context.Context) (association resource, err error) {
	gateway, err := b.create(ctx, "/resourcegateways", object{"name": "bench", "vpcIdentifier": "vpc-0123456789abcdef0", "subnetIds": []string{"subnet-0123456789abcdef0"}})
	if err != nil {
		return association, err
	}
	configuration, err := b.create(ctx, "/resourceconfigurations", object{
		"name": "bench", "type": "SINGLE", "resourceGatewayIdentifier": gateway.ID, "portRanges": []string{strconv.Itoa(b.setting.HTTPBackends[0])},
		"resourceConfigurationDefinition": object{"ipResource": object{"ipAddress": "127.0.0.1"}},
	})
	if err != nil {
		return association, err
	}
	if association, err = b.create(ctx, "/servicenetworkresourceassociations", object{
		"serviceNetworkIdentifier": b.network.ID, "resourceConfigurationIdentifier": configuration.ID}); err != nil {
		return association, err
	}
	return association, b.api.call(ctx, http.MethodGet, "/servicenetworkresourceassociations/"+association.ID, nil, &association)
}

// createService creates a service in the network.
func (b *builder) createService(ctx context.Context, in object) (resource, error) {
	service, err := b.create(ctx, "/services", in)
	if err != nil {
		return service, err
	}
	_, err = b.create(ctx, "/servicenetworkserviceassociations", object{"serviceIdentifier": service.ID, "serviceNetworkIdentifier": b.network.ID})
	return service, err
}

// createGroup creates a target group with targets on the loopback.
func (b *builder) createGroup(ctx context.Context, in object, ports []int) (resource, error) {
	group, err := b.create(ctx, "/targetgroups", in)
	if err != nil {
		return group, err
	}
	targets := make([]object, len(ports))
	for i, port := range ports {
		targets[i] = object{"id": "127.0.0.1", "port": port}
	}
	return group, b.api.call(ctx, http.MethodPost, "/targetgroups/"+group.ID+"/registertargets", object{"targets": targets}, nil)
}

func (b *builder) createListener(ctx context.Context, service resource, protocol string, port int, group resource) (resource, error) {
	return b.create(ctx, "/services/"+service.ID+"/listeners", object{
		"name": fmt.Sprintf("port-%d", port), "protocol": protocol, "port": port, "defaultAction": forward(group),
	})
}

func forward(group resource) object {
	return object{"forward": object{"targetGroups": []object{{"targetGroupIdentifier": group.ID}}}}
}

// targetGroup is the request that creates a target group.
func targetGroup(name string) object {
	return object{
		"name": name, "type": "IP",
		"config": object{
			"port": 80, "protocol": "HTTP", "vpcIdentifier": "vpc-0123456789abcdef0",
			"healthCheck": object{"enabled": true, "path": "/", "healthCheckIntervalSeconds": 5},
		},
	}
}

// uncheckedGroup is a target group without health checks.
func uncheckedGroup(name, protocol, version string) object {
	config := object{
		"port": 80, "protocol": protocol, "vpcIdentifier": "vpc-0123456789abcdef0", "healthCheck": object{"enabled": false},
	}
	if version != "" {
		config["protocolVersion"] = version
	}
	return object{"name": name, "type": "IP", "config": config}
}

func (b *builder) awaitHealthy(ctx context.Context) error {
	return await(ctx, "the targets to become HEALTHY", 50*time.Millisecond, func() (bool, error) {
		var list resource
		if err := b.api.call(ctx, http.MethodPost, "/targetgroups/"+b.group.ID+"/listtargets", object{}, &list); err != nil {
			return false, err
		}
		healthy := 0
		for _, target := range list.Items {
			if target.Status == "HEALTHY" {
				healthy++
			}
		}
		return healthy == len(b.setting.HTTPBackends), nil
	})
}

func await(ctx context.Context, what string, pause time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		switch ok, err := done(); {
		case err != nil:
			return fmt.Errorf("waiting for %s: %w", what, err)
		case ok:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
	}
}
