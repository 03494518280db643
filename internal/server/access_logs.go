package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/accesslog/delivery/amazon"
)

// openAccessLogs makes the queue that receives the records of exchanges.
func (s *Server) openAccessLogs(ctx context.Context) error {
	cfg := delivery.Config{Log: s.log.With("part", "accesslog")}
	spool, err := s.accessLogSpool(ctx, cfg.Log)
	if err != nil {
		return fmt.Errorf("--access-logs: %w", err)
	}
	if spool != nil {
		if cfg.Spool, err = delivery.NewSpool(*spool); err != nil {
			return fmt.Errorf("--access-logs: %w", err)
		}
	}
	s.accessLogs = delivery.NewQueue(cfg)
	s.runUntilClose(s.accessLogs.Run)
	return nil
}

// runUntilClose runs the queue until close, so that it takes the records of the last exchanges too.
func (s *Server) runUntilClose(run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- run(ctx) }()
	s.atClose(func() error {
		cancel()
		return <-ended
	})
}

// accessLogSpool returns the configuration of the spool and its sink. It is nil if access logs are delivered nowhere.
func (s *Server) accessLogSpool(ctx context.Context, log *slog.Logger) (*delivery.SpoolConfig, error) {
	spool := &delivery.SpoolConfig{MaxBytes: s.cfg.AccessLogsSpool << 20, Log: log}
	switch s.cfg.AccessLogs {
	case "none":
		return nil, nil
	case "aws":
		sink, err := amazon.New(ctx)
		if err != nil {
			return nil, err
		}
		spool.Sink = sink
		if s.cfg.DataDir != "" {
			spool.Dir = filepath.Join(s.cfg.DataDir, "access-logs-spool")
			return spool, nil
		}
		// In dev, what could not be delivered is lost with the process, like everything else.
		if spool.Dir, err = os.MkdirTemp("", "trellis-access-logs-"); err != nil {
			return nil, err
		}
		s.atClose(func() error { return os.RemoveAll(spool.Dir) })
	default:
		spool.Dir = s.cfg.AccessLogs
		spool.Sink = delivery.NewDirectory(s.cfg.AccessLogs, s.cfg.AccessLogsLimit<<20, log)
	}
	return spool, nil
}

// watchLineTimeout is how long a client that watches may take for a line.
const watchLineTimeout = 30 * time.Second

// watchLogs sends exchanges as they end, and what functions write, as lines of JSON, until the client goes.
func (s *Server) watchLogs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	wants, err := lineFilter(query.Get("service"), query.Get("status"), query.Get("failed"), query.Get("function"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	watch, stop := s.accessLogs.Watch(wants)
	defer stop()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	write := func(line []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(watchLineTimeout))
		if _, err := w.Write(line); err != nil {
			return false
		}
		return len(watch.Lines) > 0 || control.Flush() == nil
	}
	if control.Flush() != nil {
		return
	}
	for {
		select {
		case line, ok := <-watch.Lines:
			if !ok || !write(append(line[:len(line):len(line)], '\n')) {
				return
			}
			if n := watch.Missed(); n > 0 && !write(fmt.Appendf(nil, "{\"missed\":%d}\n", n)) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// lineFilter returns which lines are asked for: exchanges with a service (its name, id or ARN), with a status (as in 502 or 5xx),
// and those that failed; exchanges with a function, and what it writes.
func lineFilter(service, status, failed, function string) (func(line []byte) bool, error) {
	from, to := 0, 999
	if status != "" {
		code, err := strconv.Atoi(strings.ReplaceAll(strings.ToLower(status), "x", "0"))
		if err != nil || len(status) != 3 || code < 100 {
			return nil, fmt.Errorf("status %q: must be a status or a class of them, as in 502 or 5xx", status)
		}
		from, to = code, code
		switch x := strings.IndexAny(strings.ToLower(status), "x"); x {
		case 1:
			to = code + 99
		case 2:
			to = code + 9
		}
	}
	ofExchanges := service != "" || status != "" || failed != ""
	if !ofExchanges && function == "" {
		return func([]byte) bool { return true }, nil
	}
	return func(line []byte) bool {
		var e struct {
			Service, ServiceID, ServiceArn, FailureReason string
			Function, Output, Resource, Problem           string
			ResponseCode                                  any // a number, or "-"
		}
		if json.Unmarshal(line, &e) != nil {
			return false
		}
		if function != "" && function != e.Function {
			return false
		}
		if e.Output != "" {
			return !ofExchanges
		}
		hasFailed := e.FailureReason != "-"
		if e.Resource != "" { // Entries of connections to resources have no reason.
			hasFailed = e.Problem != ""
		}
		code, _ := e.ResponseCode.(float64)
		return (service == "" || service == e.Service || service == e.ServiceID || service == e.ServiceArn) &&
			int(code) >= from && int(code) <= to && (failed == "" || hasFailed)
	}, nil
}
