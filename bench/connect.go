package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The load of new connections with TLS. wrk would resume its sessions, so the bench starts itself as that load.
const connectFlag = "-connect"

// runConnect sends each of a row's requests on a connection of its own.
func runConnect(ctx context.Context, duration time.Duration, host string, port int, r row) (load, error) {
	program, err := os.Executable()
	if err != nil {
		return load{}, err
	}
	cmd := exec.CommandContext(ctx, find("taskset"), "-c", coreOfLoad, program, connectFlag,
		"-port", strconv.Itoa(port), "-host", host, "-path", r.path, "-bytes", strconv.Itoa(r.answerBytes),
		"-clients", strconv.Itoa(r.connections), "-duration", duration.String(), "-tls="+strconv.FormatBool(r.listener != plain))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("%w\n%s", err, out)
	}
	var l load
	if _, err := fmt.Sscan(string(out), &l.requests, &l.duration); err != nil {
		return load{}, fmt.Errorf("the load's report cannot be read: %w\n%s", err, out)
	}
	return l, nil
}

// connector makes connections that carry one request each.
type connector struct {
	address string
	tls     *tls.Config // nil means no TLS
	request []byte
	answer  int // bytes of the body
}

// connectAgainAndAgain is the load's process. It prints how many requests it has made, and how long that took.
func connectAgainAndAgain(args []string) error {
	flags := flag.NewFlagSet(connectFlag, flag.ContinueOnError)
	port := flags.Int("port", 0, "")
	host := flags.String("host", "", "")
	path := flags.String("path", "/", "")
	answer := flags.Int("bytes", 0, "")
	clients := flags.Int("clients", 1, "")
	duration := flags.Duration("duration", time.Second, "")
	secure := flags.Bool("tls", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c := connector{
		address: loopback(*port), answer: *answer,
		request: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", *path, *host),
	}
	if *secure {
		// Without a session cache, all handshakes are full ones. With one key exchange that all servers know, none chooses a
		// more expensive one; TLS 1.3 has one cipher suite everywhere.
		c.tls = &tls.Config{InsecureSkipVerify: true, ServerName: *host, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
	}
	began := time.Now()
	counts, errs := make([]int, *clients), make([]error, *clients)
	var running sync.WaitGroup
	for i := range *clients {
		running.Go(func() {
			for time.Since(began) < *duration && errs[i] == nil {
				if errs[i] = c.once(); errs[i] == nil {
					counts[i]++
				}
			}
		})
	}
	running.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	fmt.Println(total, time.Since(began).Nanoseconds())
	return errors.Join(errs...)
}

// once makes a connection, sends a request and reads the response. The server closes first, as the request asks it to.
func (c connector) once() error {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.tls != nil {
		conn = tls.Client(conn, c.tls)
	}
	response, err := roundTrip(conn, c.request, c.answer)
	if err == nil && !response.Close {
		err = fmt.Errorf("the server keeps the connection: %q; it was asked to close it", strings.Join(response.Header["Connection"], ","))
	}
	return err
}
