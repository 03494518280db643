package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
)

// The sink is the backend for uploads: it reads a request to its end before it answers. nginx does so only if it passes the
// body on, and an early response ends connections. The bench starts itself as the sink.
const sinkFlag = "-sink"

func startSink(ctx context.Context, s setting) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var ports []string
	for _, port := range s.SinkBackends {
		ports = append(ports, strconv.Itoa(port))
	}
	p, err := start(coreOfLoad, []string{"GOMAXPROCS=1"}, program, sinkFlag, strings.Join(ports, ","))
	if err != nil {
		return nil, err
	}
	if err := p.awaitPort(ctx, s.SinkBackends[len(ports)-1]); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// serveSink serves until the process is stopped.
func serveSink(ports string) error {
	var serving sync.WaitGroup
	errs := make(chan error, strings.Count(ports, ",")+1)
	for port := range strings.SplitSeq(ports, ",") {
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return err
		}
		serving.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					errs <- err
					return
				}
				serving.Go(func() {
					defer conn.Close()
					answerAll(conn)
				})
			}
		})
	}
	return <-errs
}

// answerAll answers the requests of a connection, one after the other, until it ends. All have a Content-Length or no
// body: the client is wrk, and proxies keep its framing.
func answerAll(conn net.Conn) error {
	reader := bufio.NewReaderSize(conn, 256<<10)
	for {
		length := 0
		for first := true; ; first = false {
			line, err := reader.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) <= 2 && !first {
				break
			}
			name, value, _ := strings.Cut(string(line), ":")
			switch {
			case strings.EqualFold(name, "Content-Length"):
				if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
					return err
				}
			case strings.EqualFold(name, "Transfer-Encoding"):
				fmt.Fprint(conn, "HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				return errors.New("a body without a length")
			}
		}
		if _, err := reader.Discard(length); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
			return err
		}
	}
}
