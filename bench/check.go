package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// checkResponse makes sure, before anything is measured, that a proxy passes on the backend's response.
func checkResponse(ctx context.Context, p *proxy, host string, r row) error {
	scheme, method := "http", http.MethodGet
	if r.secure() {
		scheme = "https"
	}
	body := make([]byte, r.uploadBytes)
	if r.grpc {
		body = []byte(grpcMessage)
	}
	if len(body) > 0 {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, scheme+"://"+host+r.path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if r.grpc {
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("Te", "trailers")
	}
	headers, err := r.lines()
	if err != nil {
		return err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!r.http2)
	protocols.SetHTTP2(r.http2)
	transport := &http.Transport{
		DisableKeepAlives: !r.http2,
		Protocols:         protocols,
		// The name is not verified: the certificate is not what is measured.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.address(r.listener))
		},
	}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	if response.StatusCode != http.StatusOK || len(answer) != r.answerBytes {
		return fmt.Errorf("the response is %s with %d bytes", response.Status, len(answer))
	}
	if status := response.Trailer.Get("Grpc-Status"); r.grpc && status != "0" {
		return fmt.Errorf("the gRPC status is %q", status)
	}
	return nil
}
