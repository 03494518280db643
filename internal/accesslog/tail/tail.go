// Package tail is the command `trellis logs`: it shows the exchanges of a running node as they end, and what its functions write.
package tail

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Command is the command `trellis logs`. Its fields are the command's flags.
type Command struct {
	Admin    string
	Follow   bool // Always.
	Service  string
	Function string
	Status   string
	Failed   bool
	JSON     bool
}

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// reconnectPause and reconnects bound the wait for a node that has just been replaced by a new process.
const (
	reconnectPause = 200 * time.Millisecond
	reconnects     = 50
)

// RunUntilInterrupted shows exchanges until a signal asks the process to end, and returns the exit code.
func (c Command) RunUntilInterrupted(out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.Run(ctx, out, errOut)
}

// Run shows exchanges until ctx ends, and returns the exit code.
func (c Command) Run(ctx context.Context, out, errOut io.Writer) int {
	base, err := url.Parse(c.Admin)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		fmt.Fprintf(errOut, "trellis logs: --admin %q: must be the URL of a node's admin port, as in http://127.0.0.1:7601\n", c.Admin)
		return exitUsage
	}
	query := url.Values{}
	for name, value := range map[string]string{"service": c.Service, "function": c.Function, "status": c.Status} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if c.Failed {
		query.Set("failed", "1")
	}
	address := base.JoinPath("logs")
	address.RawQuery = query.Encode()
	p := printer{out: out, json: c.JSON, colored: isTerminal(out)}
	for missing := 0; ; missing++ {
		began, err := p.follow(ctx, address.String())
		if ctx.Err() != nil {
			return 0
		}
		var refused *refusedError
		switch {
		case errors.As(err, &refused):
			fmt.Fprintf(errOut, "trellis logs: %v\n", err)
			return exitUsage
		case began:
			missing = 0 // The node stops, or is being replaced.
		case missing == 0 && !p.began:
			fmt.Fprintf(errOut, "trellis logs: no node answers at %s (--admin): %v\n", c.Admin, err)
			return exitFailed
		case missing >= reconnects:
			fmt.Fprintf(errOut, "trellis logs: the node at %s is gone\n", c.Admin)
			return exitFailed
		}
		select {
		case <-time.After(reconnectPause):
		case <-ctx.Done():
			return 0
		}
	}
}

// refusedError is a response that does not change when one asks again.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

// printer writes exchanges.
type printer struct {
	out     io.Writer
	json    bool
	colored bool
	began   bool // a node has answered
}

// follow writes exchanges until the node ends the response. began reports whether it has answered at all.
func (p *printer) follow(ctx context.Context, address string) (began bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
		return false, &refusedError{strings.TrimSpace(string(text))}
	}
	p.began = true
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if p.json {
			fmt.Fprintf(p.out, "%s\n", lines.Bytes())
			continue
		}
		var e exchange
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			fmt.Fprintln(p.out, p.line(&e))
		}
	}
	return true, lines.Err()
}

// exchange holds the members of an entry that a line shows.
type exchange struct {
	Time          string
	Service       string
	RequestMethod string
	RequestPath   string
	Query         string
	Protocol      string
	HostHeader    string
	ResponseCode  any    // a number, or "-"
	TargetIPPort  string `json:"targetIpPort"`
	TargetGroup   string
	FailureReason string
	Problem       string
	SourceIPPort  string `json:"sourceIpPort"`
	Microseconds  int64
	BytesReceived int64
	BytesSent     int64
	Missed        int64

	// Function is the function that was the target, or that wrote the output.
	Function string
	Output   string

	// Of a connection to a resource.
	Resource       string
	ResourceIPPort string `json:"resourceIpPort"`
}

const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	green  = "\x1b[32m"
	cyan   = "\x1b[36m"
	dim    = "\x1b[2m"
	plain  = "\x1b[0m"
)

// line writes an exchange for people.
func (p *printer) line(e *exchange) string {
	if e.Missed > 0 {
		return p.color(yellow, fmt.Sprintf("... %d exchanges came too fast to be shown", e.Missed))
	}
	var b strings.Builder
	at, err := time.Parse(time.RFC3339, e.Time)
	if err == nil {
		b.WriteString(p.color(dim, at.Local().Format("15:04:05.000")))
	}
	if e.Output != "" {
		fmt.Fprintf(&b, " %s  %s", p.color(cyan, e.Function+":"), clean(e.Output))
		return b.String()
	}
	code, _ := e.ResponseCode.(float64)
	status := fmt.Sprintf("%3.0f", code)
	switch {
	case e.Protocol == "TLS" || e.Resource != "":
		status = strings.ToUpper(e.Protocol)
	case code >= 500:
		status = p.color(red, status)
	case code >= 400:
		status = p.color(yellow, status)
	default:
		status = p.color(green, status)
	}
	fmt.Fprintf(&b, " %s %8s", status, duration(e.Microseconds))
	switch {
	case e.Resource != "":
		fmt.Fprintf(&b, "  from %s", e.SourceIPPort)
	case e.Protocol == "TLS":
		fmt.Fprintf(&b, "  %d bytes in, %d out", e.BytesReceived, e.BytesSent)
	default:
		fmt.Fprintf(&b, "  %s %s%s", clean(e.RequestMethod), clean(e.RequestPath), clean(strings.TrimPrefix(e.Query, "-")))
	}
	fmt.Fprintf(&b, "  %s", clean(cmp.Or(e.Service, e.Resource, e.HostHeader)))
	if target := cmp.Or(e.Function, strings.TrimPrefix(cmp.Or(e.TargetIPPort, e.ResourceIPPort), "-")); target != "" {
		fmt.Fprintf(&b, " -> %s", strings.TrimSpace(e.TargetGroup+" "+target))
	}
	var why []string
	for _, reason := range []string{strings.TrimPrefix(e.FailureReason, "-"), e.Problem} {
		if reason != "" {
			why = append(why, clean(reason))
		}
	}
	if len(why) > 0 {
		b.WriteString("  " + p.color(red, strings.Join(why, ": ")))
	}
	return b.String()
}

func duration(microseconds int64) string {
	switch d := time.Duration(microseconds) * time.Microsecond; {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.String()
	}
}

// clean keeps what clients send from moving the cursor, or worse.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func (p *printer) color(code, text string) string {
	if !p.colored {
		return text
	}
	return code + text + plain
}

// isTerminal reports whether the output is a terminal whose user wants colours (https://no-color.org).
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
