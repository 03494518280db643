package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// runH2load sends a row's requests over HTTP/2, as fast as they are answered. h2load knows no percentiles. On a busy machine
// it sometimes misses its own end and hangs; then it is run once more.
func runH2load(ctx context.Context, dir string, duration time.Duration, host string, port int, r row) (load, error) {
	l, err := runH2loadOnce(ctx, dir, duration, host, port, r)
	if errors.Is(err, errNoEnd) {
		l, err = runH2loadOnce(ctx, dir, duration, host, port, r)
	}
	return l, err
}

// errNoEnd is the error for a load that did not end in time.
var errNoEnd = errors.New("the load did not end in time")

// loadSlack is how much longer than requested a load may take: it connects first, and waits for the last responses.
const loadSlack = 10 * time.Second

func runH2loadOnce(ctx context.Context, dir string, duration time.Duration, host string, port int, r row) (load, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, duration+loadSlack, errNoEnd)
	defer cancel()
	args := []string{
		"-c", coreOfLoad, find("h2load"), "-t", "1", "-c", strconv.Itoa(r.connections), "-m", strconv.Itoa(r.streams),
		"-D", strconv.Itoa(int(duration.Seconds())), "--connect-to", loopback(port),
	}
	if r.grpc {
		message := filepath.Join(dir, "message")
		if err := os.WriteFile(message, []byte(grpcMessage), 0o600); err != nil {
			return load{}, err
		}
		args = append(args, "-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers")
	}
	out, err := exec.CommandContext(ctx, find("taskset"), append(args, "https://"+host+r.path)...).CombinedOutput()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return load{}, fmt.Errorf("h2load: %w\n%s", err, out)
	}
	return parseH2load(string(out))
}

// parseH2load reads what h2load prints. Requests that the end of the time cuts off are neither done nor failed there. Very few
// may fail: nginx answers one of some ten thousand gRPC calls with 502.
func parseH2load(out string) (l load, err error) {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "finished in "); ok {
			took, _, _ := strings.Cut(rest, ",")
			if l.duration, err = time.ParseDuration(took); err != nil {
				return load{}, fmt.Errorf("h2load: %w\n%s", err, out)
			}
		}
		if rest, ok := strings.CutPrefix(line, "requests: "); ok {
			var total, started, finished, failed int
			if _, err := fmt.Sscanf(rest, "%d total, %d started, %d done, %d succeeded, %d failed, %d errored", &total, &started, &finished, &l.requests, &failed, &l.unanswered); err != nil {
				return load{}, fmt.Errorf("h2load: %w\n%s", err, out)
			}
			if failed > 1+finished/1000 {
				return load{}, fmt.Errorf("%d of %d requests failed, so this would not measure proxying\n%s", failed, finished, out)
			}
			l.refused = failed - l.unanswered
		}
	}
	if l.requests == 0 || l.duration == 0 {
		return load{}, fmt.Errorf("h2load's report cannot be read\n%s", out)
	}
	return l, nil
}
