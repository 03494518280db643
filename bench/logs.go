package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
)

// The goals of the row "logs".
const (
	goalOverOff   = 1.05 // the ratio of Trellis with logs to Trellis without
	goalToLogging = 0.9  // the ratio of Trellis with logs to the cheaper peer with logs
)

// benchLogs compares what requests cost while each of them is logged: by Trellis in a subscription to files, by nginx as JSON,
// by HAProxy as httplog, into files too. All of them write what they know of a request; Trellis also compresses it.
//
// Trellis with and without a log is one process, whose subscription comes and goes: the CPU per request of two processes of one
// program differs by up to a tenth, and stays so for as long as they live.
func benchLogs(ctx context.Context, o options, dir string) error {
	s, backend, err := startBackendFor(ctx, o, filepath.Join(dir, "logs"))
	if err != nil {
		return err
	}
	defer backend.stop()
	on, b, err := startTrellisAndBuild(ctx, "trellis", o.trellis, s)
	if err != nil {
		return err
	}
	defer on.process.stop()
	defer b.api.close()
	off := *on
	off.name = "off"
	prepare := map[string]func(context.Context) error{on.name: b.log, off.name: b.logNothing}
	s.Host, s.Logs = on.host, true
	proxies := []*proxy{on, &off}
	for _, name := range both {
		if !slices.Contains(o.proxies, name) {
			continue
		}
		p, err := startPeer(ctx, name, s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer p.process.stop()
		proxies = append(proxies, p)
	}
	r := rows[0]
	var contestants []contestant
	for _, p := range proxies {
		if err := checkResponse(ctx, p, p.host, r); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		contestants = append(contestants, contestant{name: p.name, proxy: p, send: r.sendTo(dir, p, p.host, nil), prepare: prepare[p.name]})
	}
	rounds, failures := takeTurns(ctx, o, "logs", contestants)
	if err := errors.Join(failures...); err != nil {
		return err
	}
	fmt.Printf("\nlogs: requests that are logged into files; %s, %d connections\nmedians of %d rounds of %v; Trellis's ratio to each within a round: median (quartiles); goals: at most %.2f to off, which logs nothing, and %.1f to the cheaper of the others\n\n",
		r.title, r.connections, o.rounds, o.duration, goalOverOff, goalToLogging)
	fmt.Printf("| %-8s | %11s | %-22s | %-36s |\n|----------|-------------|------------------------|--------------------------------------|\n",
		"proxy", "CPU/request", "trellis's ratio to it", "version, TLS library")
	for i, p := range proxies {
		ratio := "-"
		if i > 0 { // The first one is Trellis.
			ratio = ratios(rounds[0], rounds[i]).String()
		}
		fmt.Printf("| %-8s | %8.2f us | %-22s | %-36s |\n", p.name, microseconds(cpuMedian(rounds[i])), ratio, p.version)
	}
	fmt.Println()
	return nil
}

// log has Trellis write entries of all traffic in the network to files, if it does not yet.
func (b *builder) log(ctx context.Context) error {
	if b.logs.ID != "" {
		return nil
	}
	return b.api.call(ctx, http.MethodPost, "/accesslogsubscriptions", object{
		"resourceIdentifier": b.network.ID, "destinationArn": "arn:aws:s3:::bench-access-logs",
	}, &b.logs)
}

// logNothing ends what log has begun.
func (b *builder) logNothing(ctx context.Context) error {
	if b.logs.ID == "" {
		return nil
	}
	id := b.logs.ID
	b.logs = resource{}
	return b.api.call(ctx, http.MethodDelete, "/accesslogsubscriptions/"+id, nil, nil)
}

// nginxLogFormat has the members of a VPC Lattice entry that nginx knows.
const nginxLogFormat = `
  log_format entry escape=json '{"serviceNetworkArn":"-","resolvedUser":"-","listenerType":"-","authDeniedReason":"-",'
    '"targetGroupArn":"$proxy_host","sourceVpcArn":"-","destinationVpcId":"-","sourceIpPort":"$remote_addr:$remote_port",'
    '"listenerId":"-","targetIpPort":"$upstream_addr","failureReason":"-","serviceArn":"$server_name","sourceVpcId":"-",'
    '"startTime":"$time_iso8601","requestMethod":"$request_method","requestPath":"$uri","protocol":"$server_protocol",'
    '"responseCode":$status,"grpcResponseCode":"-","bytesReceived":$request_length,"bytesSent":$bytes_sent,'
    '"duration":$request_time,"userAgent":"$http_user_agent","hostHeader":"$host","serverNameIndication":"$ssl_server_name",'
    '"requestToTargetDuration":"$upstream_connect_time","responseFromTargetDuration":"$upstream_header_time",'
    '"sslCipher":"$ssl_cipher","tlsVersion":"$ssl_protocol","requestId":"$request_id"}';
`
