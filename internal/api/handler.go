package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"trellis/internal/audit"
	"trellis/internal/chaos"
	"trellis/internal/shape"
	"trellis/internal/tally"
	"trellis/internal/uuid"
)

// Config says what a handler works with.
type Config struct {
	Operations    Operations
	Authenticator Authenticator
	// Authorizer decides what callers may do. Nil means that everybody may do everything.
	Authorizer Authorizer
	// Limits bounds how much clients can ask for at once.
	Limits Limits
	// Audit is told of each call that may change something, once its caller is known. Nil means that nobody is told.
	Audit *audit.Log
	// Calls counts all calls. Nil means that they are not counted.
	Calls *tally.Calls
	// Trace is told of each call, before it is answered. Nil means that nobody is told.
	Trace func(*EndedCall)
	// Chaos makes calls fail or wait, for tests of clients. Nil means none.
	Chaos *chaos.Chaos
	// Log gets one line for each request: at debug level, or at warn level when the response is a 5xx. Nil means none.
	Log *slog.Logger
	// MaxBodyBytes is the size of the largest body that is read. 0 means 1 MiB.
	MaxBodyBytes int64
	// TotalBodyBytes bounds the memory of all bodies beyond 16 KiB each. 0 means 64 MiB.
	TotalBodyBytes int64
}

// NewHandler returns the handler of the whole API. Do not put an http.ServeMux in front of it: that redirects paths in
// which the slashes of an identifier are not escaped.
func NewHandler(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBodyBytes == 0 {
		cfg.MaxBodyBytes = defaultMaxBodyBytes
	}
	if cfg.TotalBodyBytes == 0 {
		cfg.TotalBodyBytes = defaultTotalBodyBytes
	}
	h := &handler{cfg: cfg, throttle: NewThrottle(cfg.Limits)}
	h.bodies.give(int(cfg.TotalBodyBytes))
	return h
}

type handler struct {
	cfg      Config
	throttle *Throttle
	bodies   bodyMemory
}

// apiCall is one call of an operation: a request and its response.
type apiCall struct {
	*handler
	w       http.ResponseWriter
	r       *http.Request
	body    body
	started time.Time
	// operation and caller are unknown (nil and empty) until the request has been routed and authenticated, input
	// until it has been checked, output until the operation has returned it.
	operation     *operation
	caller        Caller
	authenticated bool
	input, output any
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &apiCall{handler: h, w: w, r: r, started: time.Now()}
	c.body = body{w: w, r: r, max: h.cfg.MaxBodyBytes, memory: &h.bodies}
	defer c.body.release()
	c.caller.RequestID = uuid.New()
	w.Header().Set("X-Amzn-Requestid", c.caller.RequestID)
	body, err := c.answer()
	if !c.body.complete {
		LeaveBody(w)
	}
	if err != nil {
		c.writeError(err)
		return
	}
	// The call is recorded before it is answered, so that what a client knows to be done is in the audit log's queue.
	c.record(c.operation.status, "")
	c.count(c.operation.status, "")
	c.write(c.operation.status, body)
	c.log(c.operation.status, nil)
}

// answer carries the request out: route, authenticate, decode, authorize, call, encode. A panic becomes an error. The body
// is read last, once everything else about the request is right, since anybody can send one.
func (c *apiCall) answer() (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var d decoder
	path := c.r.URL.EscapedPath()
	c.operation, d.labels = route(c.r.Method, path)
	if c.operation == nil {
		return nil, unknownOperation(c.r.Method, path)
	}
	if err := c.authenticate(); err != nil {
		return nil, err
	}
	in, err := c.body.get()
	if err != nil {
		return nil, err
	}
	if err := c.throttle.Admit(c.caller.Account, c.started); err != nil {
		return nil, err
	}
	if err := d.parseQuery(c.r.URL.RawQuery); err != nil {
		return nil, err
	}
	if c.operation.hasBody {
		if err := d.parseBody(in); err != nil {
			return nil, err
		}
	}
	out, err := c.carryOut(&d)
	if err != nil || c.operation.status == http.StatusNoContent {
		return nil, err
	}
	return encode(out)
}

// authenticate finds out who calls.
func (c *apiCall) authenticate() error {
	caller, err := c.cfg.Authenticator.Authenticate(c.r, c.body.get)
	if err != nil {
		return err
	}
	caller.CameBy(c.r, c.caller.RequestID)
	c.caller, c.authenticated = caller, true
	return nil
}

// operationLimit is how long an operation may take. It takes longer than moments only while the store has no leader, and no
// client should wait for that indefinitely.
const operationLimit = 30 * time.Second

// carryOut calls the operation once the concurrency allows it; chaos may delay it or make it fail.
func (c *apiCall) carryOut(d *decoder) (any, error) {
	ctx := c.r.Context()
	var effect chaos.Effect
	if c.cfg.Chaos != nil {
		effect = c.cfg.Chaos.Next(c.operation.name)
	}
	if err := effect.Before(ctx); err != nil {
		return nil, err
	}
	leave, err := c.throttle.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, operationLimit)
	defer cancel()
	out, err := c.operation.call(ctx, c, d)
	if err != nil {
		return nil, err
	}
	return out, effect.After()
}

// writeError is the one place that turns an error into a response. An error that is not meant for the client is logged, and
// answered with an InternalServerException that says nothing about it.
func (c *apiCall) writeError(err error) {
	shown, ok := errors.AsType[wireError](err)
	if !ok {
		shown = &shape.InternalServerException{
			Message: new("Something went wrong in the server. Its log has more under the request id " + c.caller.RequestID + "."),
		}
	}
	header := c.w.Header()
	header.Set("X-Amzn-Errortype", shown.ErrorCode())
	switch s := shown.(type) {
	case *shape.InternalServerException:
		setRetryAfter(header, s.RetryAfterSeconds)
	case *shape.ThrottlingException:
		setRetryAfter(header, s.RetryAfterSeconds)
	}
	body, encodeErr := encode(shown)
	if encodeErr != nil {
		err = errors.Join(err, encodeErr)
	}
	c.record(shown.HTTPStatus(), shown.ErrorCode())
	c.count(shown.HTTPStatus(), shown.ErrorCode())
	c.write(shown.HTTPStatus(), body)
	c.log(shown.HTTPStatus(), err)
}

func setRetryAfter(header http.Header, seconds *int32) {
	if seconds != nil {
		header.Set("Retry-After", strconv.Itoa(int(*seconds)))
	}
}

// write sends the response.
func (c *apiCall) write(status int, body []byte) {
	// RFC 9110 8.6: a 204 has neither a body nor a Content-Length.
	if status != http.StatusNoContent {
		header := c.w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.w.WriteHeader(status)
	// An error means that the client is gone, so nobody can be told.
	_, _ = c.w.Write(body)
}

// encode writes JSON as AWS does: characters that matter in HTML are not escaped.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding the response: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// name returns the name of the operation.
func (c *apiCall) name() string {
	if c.operation == nil {
		return "unknown"
	}
	return c.operation.name
}

// EndedCall is a call of the API that is about to be answered.
type EndedCall struct {
	Request *http.Request
	Started time.Time
	// Operation is "unknown" for a request that is for none.
	Operation string
	Caller    Caller
	Status    int
	// ErrorCode is empty for success.
	ErrorCode string
}

// count counts the call and has it traced, unless it was refused before it got as far as the handler. It is counted before it
// is answered, so that a client that has the response finds it counted.
func (c *apiCall) count(status int, errorCode string) {
	if c.cfg.Calls != nil {
		c.cfg.Calls.Add(tally.Call{Name: c.name(), Code: errorCode}, time.Since(c.started))
	}
	if c.cfg.Trace != nil {
		c.cfg.Trace(&EndedCall{Request: c.r, Started: c.started, Operation: c.name(), Caller: c.caller, Status: status, ErrorCode: errorCode})
	}
}

// log writes the request's line. err is what was answered with an error, nil for success.
func (c *apiCall) log(status int, err error) {
	level := slog.LevelDebug
	// A client that disconnects cancels its operation, which is no fault of the server.
	if status >= 500 && c.r.Context().Err() == nil {
		level = slog.LevelWarn
	}
	ctx := c.r.Context()
	if !c.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("operation", c.name()),
		slog.String("requestId", c.caller.RequestID),
		slog.String("account", c.caller.Account),
		slog.String("principal", c.caller.Principal),
		slog.Int("status", status),
		slog.Duration("duration", time.Since(c.started)),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	c.cfg.Log.LogAttrs(ctx, level, "api request", attrs...)
}
