package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// authPolicy has ten statements, which look at all of a request. The last one allows.
var authPolicy = `{"Version":"2012-10-17","Statement":[` + strings.Join([]string{
	authStatement("Deny", "", `"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","127.0.0.0/8"]}`),
	authStatement("Deny", "", `"StringEquals":{"vpc-lattice-svcs:RequestMethod":["DELETE","TRACE"]}`),
	authStatement("Deny", "*/admin/*", `"StringEquals":{"aws:PrincipalType":"Anonymous"}`),
	authStatement("Deny", "", `"DateGreaterThan":{"aws:CurrentTime":"2200-01-01T00:00:00Z"}`),
	authStatement("Deny", "", `"NumericNotEquals":{"vpc-lattice-svcs:Port":["80","443"]}`),
	authStatement("Allow", "", `"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::444455556666:role/partners/*"}`),
	authStatement("Allow", "*/partners/*", `"StringEquals":{"aws:PrincipalAccount":["444455556666","777788889999"]}`),
	authStatement("Allow", "", `"StringEquals":{"vpc-lattice-svcs:RequestHeader/x-team":"red"}`),
	authStatement("Allow", "", `"ForAnyValue:StringEquals":{"vpc-lattice-svcs:RequestQueryString/color":["blue","green"]}`),
	authStatement("Allow", "", `"StringLike":{"vpc-lattice-svcs:RequestPath":"/small*"}`),
}, ",") + "]}"

func authStatement(effect, resource, condition string) string {
	if resource == "" {
		resource = "*"
	}
	return fmt.Sprintf(`{"Effect":%q,"Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":%q,"Condition":{%s}}`, effect, resource, condition)
}

// The most that an auth policy may add to the CPU time of a request.
const (
	anonymousGoal = time.Microsecond
	signedGoal    = 10 * time.Microsecond
)

// benchAuth compares requests to a service with an auth policy, anonymous and signed, with the same requests to a service of the
// same Trellis that has none.
func benchAuth(ctx context.Context, o options, dir string) error {
	s, backend, err := startBackendFor(ctx, o, filepath.Join(dir, "auth"))
	if err != nil {
		return err
	}
	defer backend.stop()
	if s, err = s.forProxy("trellis"); err != nil {
		return err
	}
	trellis, api, err := startTrellisOnCore(ctx, o.trellis, s)
	if err != nil {
		return err
	}
	defer trellis.stop()
	defer api.close()
	b := builder{api: api, setting: s}
	open, err := b.buildHTTP(ctx)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, trellis.output)
	}
	guarded, err := b.buildGuarded(ctx)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, trellis.output)
	}
	p := &proxy{name: "trellis", host: open, process: trellis, ports: map[listener]int{plain: s.Plain}}
	if err := p.process.awaitPort(ctx, s.Plain); err != nil {
		return err
	}

	r := rows[0]
	signed := r
	signed.headers = func() ([]string, error) { return signatureOf(ctx, api.keys, guarded, r.path) }
	denied := r
	denied.path = "/64k"
	if err := checkResponse(ctx, p, guarded, denied); err == nil || !strings.Contains(err.Error(), "403") {
		return fmt.Errorf("a request that the policy does not allow: %w", err)
	}
	kinds := []struct {
		name, host string
		row        row
		goal       time.Duration
	}{{"auth-none", open, r, 0}, {"auth-anonymous", guarded, r, anonymousGoal}, {"auth-signed", guarded, signed, signedGoal}}
	var contestants []contestant
	for _, kind := range kinds {
		if err := checkResponse(ctx, p, kind.host, kind.row); err != nil {
			return fmt.Errorf("%s: %w", kind.name, err)
		}
		contestants = append(contestants, contestant{name: kind.name, proxy: p, send: kind.row.sendTo(dir, p, kind.host, nil)})
	}
	rounds, failures := takeTurns(ctx, o, "auth policies", contestants)
	for i, err := range failures {
		if err != nil {
			return fmt.Errorf("%s: %w", kinds[i].name, err)
		}
	}
	fmt.Printf("\nauth: requests to a service of authType AWS_IAM whose policy of ten statements allows them, and to one of authType NONE; %s, %d connections\nmedians of %d rounds of %v; what it adds within a round: median (quartiles)\n\n",
		r.title, r.connections, o.rounds, o.duration)
	fmt.Printf("| %-14s | %11s | %-25s | %8s | %-16s |\n|----------------|-------------|---------------------------|----------|------------------|\n", "requests", "CPU/request", "added", "goal", "ratio")
	for i, kind := range kinds {
		if i == 0 {
			fmt.Printf("| %-14s | %8.2f us | %-25s | %8s | %-16s |\n", kind.name, microseconds(cpuMedian(rounds[0])), "-", "-", "-")
			continue
		}
		a := added(rounds[i], rounds[0])
		fmt.Printf("| %-14s | %8.2f us | %-25s | %5.0f us | %-16s |\n", kind.name, microseconds(cpuMedian(rounds[i])),
			fmt.Sprintf("%.2f us (%.2f-%.2f)", a.median, a.low, a.high), microseconds(kind.goal), ratios(rounds[i], rounds[0]))
	}
	fmt.Println()
	return nil
}

// added returns how many more microseconds of CPU per request one contestant needs than another, within a round.
func added(of, to []measurement) spread {
	var values []float64
	for round := range min(len(of), len(to)) {
		values = append(values, microseconds(of[round].cpuPerRequest-to[round].cpuPerRequest))
	}
	return spreadOf(values)
}

// buildGuarded creates a service with an auth policy that forwards to the same backends.
func (b *builder) buildGuarded(ctx context.Context) (host string, err error) {
	service, err := b.createService(ctx, object{"name": "guarded", "idleTimeoutSeconds": 600, "authType": "AWS_IAM"})
	if err != nil {
		return "", err
	}
	if err := b.api.call(ctx, http.MethodPut, "/authpolicy/"+service.ID, object{"policy": authPolicy}, nil); err != nil {
		return "", err
	}
	// A target group belongs to one service. This one replaces the other in b, whose targets are healthy by now.
	if b.group, err = b.createGroup(ctx, targetGroup("guarded"), b.setting.HTTPBackends); err != nil {
		return "", err
	}
	if _, err = b.createListener(ctx, service, "HTTP", portHTTP, b.group); err != nil {
		return "", err
	}
	return service.DNSEntry.DomainName, b.awaitHealthy(ctx)
}

// signatureOf returns the headers that sign a request to a service now. They are valid for five minutes.
func signatureOf(ctx context.Context, k keys, host, path string) ([]string, error) {
	const unsigned = "UNSIGNED-PAYLOAD"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: k.id, SecretAccessKey: k.secret}, r, unsigned, "vpc-lattice-svcs", signedRegion, time.Now())
	var lines []string
	for name, values := range r.Header {
		lines = append(lines, name+": "+values[0])
	}
	return lines, err
}
