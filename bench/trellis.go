package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// startTrellis starts `trellis serve`, durable as in production, and returns a client of its API.
func startTrellis(ctx context.Context, core string, env []string, program, dir string, apiPort, adminPort int, args ...string) (*process, *apiClient, error) {
	p, err := start(core, env, program, append([]string{
		"serve", "--data-dir", dir, "--api-addr", loopback(apiPort), "--admin-addr", loopback(adminPort),
	}, args...)...)
	if err != nil {
		return nil, nil, err
	}
	err = await(ctx, "trellis to be ready", func() (bool, error) {
		select {
		case <-p.exited:
			return false, errors.New("it ended")
		default:
			return ready(ctx, adminPort), nil
		}
	})
	var credentials aws.Credentials
	if err == nil {
		credentials, err = readCredentials(filepath.Join(dir, "credentials"))
	}
	if err != nil {
		p.stop()
		return nil, nil, fmt.Errorf("%w\n%s", err, p.output)
	}
	return p, newAPIClient("http://"+loopback(apiPort), credentials), nil
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

// startTrellisProxy starts a Trellis on one core that forwards to the backends, and returns the service's host name.
func startTrellisProxy(ctx context.Context, program, dir string, apiPort, adminPort, dataPort int, backends []int) (*proxy, string, error) {
	p, api, err := startTrellis(ctx, coreOfProxy, []string{"GOMAXPROCS=1"}, program, dir, apiPort, adminPort,
		"--port-map", fmt.Sprintf("80=%d", dataPort))
	if err != nil {
		return nil, "", err
	}
	host, err := createService(ctx, api, backends)
	if err == nil {
		err = p.awaitPort(ctx, dataPort)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, p.output)
		p.stop()
		return nil, "", err
	}
	return &proxy{name: "Trellis", port: dataPort, process: p}, host, nil
}

// resource is what the API's answers have in common, as far as it is needed here.
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

// createService creates a service on port 80 that forwards to the backends, and waits until they are healthy.
func createService(ctx context.Context, api *apiClient, backends []int) (host string, err error) {
	var network, service, association, group resource
	if err := api.call(ctx, http.MethodPost, "/servicenetworks", object{"name": "bench"}, &network); err != nil {
		return "", err
	}
	if err := api.call(ctx, http.MethodPost, "/services", object{"name": "bench"}, &service); err != nil {
		return "", err
	}
	if err := awaitActive(ctx, api, "/services/"+service.ID); err != nil {
		return "", err
	}
	if err := api.call(ctx, http.MethodPost, "/servicenetworkserviceassociations",
		object{"serviceIdentifier": service.ID, "serviceNetworkIdentifier": network.ID}, &association); err != nil {
		return "", err
	}
	if err := awaitActive(ctx, api, "/servicenetworkserviceassociations/"+association.ID); err != nil {
		return "", err
	}
	if err := api.call(ctx, http.MethodPost, "/targetgroups", targetGroup("bench"), &group); err != nil {
		return "", err
	}
	if err := awaitActive(ctx, api, "/targetgroups/"+group.ID); err != nil {
		return "", err
	}
	targets := make([]object, len(backends))
	for i, port := range backends {
		targets[i] = object{"id": "127.0.0.1", "port": port}
	}
	if err := api.call(ctx, http.MethodPost, "/targetgroups/"+group.ID+"/registertargets", object{"targets": targets}, nil); err != nil {
		return "", err
	}
	if err := api.call(ctx, http.MethodPost, "/services/"+service.ID+"/listeners", object{
		"name": "http", "protocol": "HTTP", "port": 80,
		"defaultAction": object{"forward": object{"targetGroups": []object{{"targetGroupIdentifier": group.ID}}}},
	}, nil); err != nil {
		return "", err
	}
	if err := awaitHealthy(ctx, api, group.ID, len(backends)); err != nil {
		return "", err
	}
	if err := api.call(ctx, http.MethodGet, "/services/"+service.ID, nil, &service); err != nil {
		return "", err
	}
	return service.DNSEntry.DomainName, nil
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

func awaitActive(ctx context.Context, api *apiClient, path string) error {
	return await(ctx, path+" to become ACTIVE", func() (bool, error) {
		var r resource
		err := api.call(ctx, http.MethodGet, path, nil, &r)
		return r.Status == "ACTIVE", err
	})
}

func awaitHealthy(ctx context.Context, api *apiClient, groupID string, targets int) error {
	return await(ctx, "the targets to become HEALTHY", func() (bool, error) {
		var list resource
		if err := api.call(ctx, http.MethodPost, "/targetgroups/"+groupID+"/listtargets", object{}, &list); err != nil {
			return false, err
		}
		healthy := 0
		for _, target := range list.Items {
			if target.Status == "HEALTHY" {
				healthy++
			}
		}
		return healthy == targets, nil
	})
}

func await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
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
		case <-time.After(50 * time.Millisecond):
		}
	}
}
