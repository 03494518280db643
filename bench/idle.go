package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"trellis/internal/proxy/socket"
)

// idleConnections is how many client connections are idle at the same time.
const idleConnections = 10_000

// benchIdle measures how much memory an idle client connection costs: each has carried one request.
func benchIdle(ctx context.Context, o options, dir string) error {
	fmt.Printf("\nMemory of the process for each of %d idle client connections (goal: 10 KB for Trellis, whatever it listens for)\n\n", idleConnections)
	fmt.Printf("| %-8s | %-8s | %-9s | %-9s | %-14s |\n|----------|----------|-----------|-----------|----------------|\n", "proxy", "listener", "before", "idle", "per connection")
	for _, l := range []listener{plain, tlsListener} {
		// Each measurement has a new process: memory left from other measurements would hide what the connections need.
		o := o
		o.proxies = slices.DeleteFunc(slices.Clone(o.proxies), func(name string) bool { return slices.Contains(onlyOnce, name) })
		w, err := startWorld(ctx, o, filepath.Join(dir, "idle-"+string(l)))
		if err != nil {
			return err
		}
		for _, p := range w.proxies {
			progress("opening %d connections to %s, %s", idleConnections, p.name, l)
			before, after, err := openIdle(ctx, p, p.host, l)
			if err != nil {
				fmt.Printf("| %-8s | %-8s | not available: %s\n", p.name, l, firstLine(err))
				continue
			}
			fmt.Printf("| %-8s | %-8s | %6.1f MB | %6.1f MB | %11.1f KB |\n", p.name, l,
				float64(before)/(1<<20), float64(after)/(1<<20), float64(after-before)/(1<<10)/idleConnections)
		}
		w.stop()
	}
	fmt.Println()
	return nil
}

// openIdle opens the connections, one after the other, and returns the proxy's memory before and with them.
func openIdle(ctx context.Context, p *proxy, host string, l listener) (before, after int64, err error) {
	conns := make([]net.Conn, 0, idleConnections)
	defer func() {
		for _, conn := range conns {
			// A reset leaves no state: the next proxy's connections need the ports.
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	request := fmt.Appendf(nil, "GET /small HTTP/1.1\r\nHost: %s\r\n\r\n", host)
	for i := range idleConnections + 100 {
		if i == 100 { // the first ones let the process grow to
			if before, err = p.process.memory(); err != nil {
				return 0, 0, err
			}
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", loopback(p.ports[l]))
		if err != nil {
			return 0, 0, err
		}
		conns = append(conns, conn)
		if err := oneRequest(conn, host, l, request); err != nil {
			return 0, 0, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	if after, err = settledMemory(ctx, p); err != nil {
		return 0, 0, err
	}
	for i, conn := range conns {
		if socket.Ended(socket.Raw(conn)) {
			return 0, 0, fmt.Errorf("connection %d of %d was closed", i, len(conns))
		}
	}
	return before, after, err
}

// settledMemory returns the proxy's memory once it stops falling. What only requests needed is freed within seconds.
func settledMemory(ctx context.Context, p *proxy) (int64, error) {
	least, err := p.process.memory()
	for waited, unchanged := 0, 0; err == nil && waited < 60 && unchanged < 5; waited++ {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		var now int64
		now, err = p.process.memory()
		if unchanged++; now < least-least/100 {
			least, unchanged = now, 0
		}
	}
	if err != nil {
		return 0, err
	}
	return p.process.memory()
}

// oneRequest makes a connection carry a request, and leaves it open.
func oneRequest(conn net.Conn, host string, l listener, request []byte) error {
	if l == tlsListener {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: host})
	}
	_, err := roundTrip(conn, request, smallBytes)
	return err
}

// roundTrip sends a request, and reads a response whose body must have bodyBytes bytes.
func roundTrip(conn net.Conn, request []byte, bodyBytes int) (*http.Response, error) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || int(n) != bodyBytes) {
		err = fmt.Errorf("the response is %s with %d bytes", response.Status, n)
	}
	return response, err
}
