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
	// Calls counts all calls. Nil means that nobody does.
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

// exchange is one request and its response.
type exchange struct {
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
	e := &exchange{handler: h, w: w, r: r, started: time.Now()}
	e.body = body{w: w, r: r, max: h.cfg.MaxBodyBytes, memory: &h.bodies}
	defer e.body.release()
	e.caller.RequestID = uuid.New()
	w.Header().Set("X-Amzn-Requestid", e.caller.RequestID)
	body, err := e.answer()
	if !e.body.complete {
		LeaveBody(w)
	}
	if err != nil {
		e.writeError(err)
		return
	}
	// Recorded before it is answered: what a client knows to be done is in the audit log's queue.
	e.record(e.operation.status, "")
	e.count(e.operation.status, "")
	e.write(e.operation.status, body)
	e.log(e.operation.status, nil)
}

// answer carries the request out: route, authenticate, decode, authorize, call, encode. A panic becomes an error. The body
// is read last, once everything else about the request is right, since anybody can send one.
func (e *exchange) answer() (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var d decoder
	path := e.r.URL.EscapedPath()
	e.operation, d.labels = route(e.r.Method, path)
	if e.operation == nil {
		return nil, unknownOperation(e.r.Method, path)
	}
	if err := e.authenticate(); err != nil {
		return nil, err
	}
	in, err := e.body.get()
	if err != nil {
		return nil, err
	}
	if err := e.throttle.Admit(e.caller.Account, e.started); err != nil {
		return nil, err
	}
	if err := d.parseQuery(e.r.URL.RawQuery); err != nil {
		return nil, err
	}
	if e.operation.hasBody {
		if err := d.parseBody(in); err != nil {
			return nil, err
		}
	}
	out, err := e.carryOut(&d)
	if err != nil || e.operation.status == http.StatusNoContent {
		return nil, err
	}
	return encode(out)
}

// authenticate finds out who calls.
func (e *exchange) authenticate() error {
	caller, err := e.cfg.Authenticator.Authenticate(e.r, e.body.get)
	if err != nil {
		return err
	}
	caller.CameBy(e.r, e.caller.RequestID)
	e.caller, e.authenticated = caller, true
	return nil
}

// operationLimit is how long an operation may take. It takes longer than moments only while the store has no leader, and no
// client should wait for that indefinitely.
const operationLimit = 30 * time.Second

// carryOut calls the operation once the concurrency allows it; chaos may delay it or make it fail.
func (e *exchange) carryOut(d *decoder) (any, error) {
	ctx := e.r.Context()
	var effect chaos.Effect
	if e.cfg.Chaos != nil {
		effect = e.cfg.Chaos.Next(e.operation.name)
	}
	if err := effect.Before(ctx); err != nil {
		return nil, err
	}
	leave, err := e.throttle.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, operationLimit)
	defer cancel()
	out, err := e.operation.call(ctx, e, d)
	if err != nil {
		return nil, err
	}
	return out, effect.After()
}

// writeError is the one place that turns an error into a response. An error that is not meant for the client is logged, and
// answered with an InternalServerException that says nothing about it.
func (e *exchange) writeError(err error) {
	shown, ok := errors.AsType[wireError](err)
	if !ok {
		shown = &shape.InternalServerException{
			Message: new("Something went wrong in the server. Its log has more under the request id " + e.caller.RequestID + "."),
		}
	}
	header := e.w.Header()
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
	e.record(shown.HTTPStatus(), shown.ErrorCode())
	e.count(shown.HTTPStatus(), shown.ErrorCode())
	e.write(shown.HTTPStatus(), body)
	e.log(shown.HTTPStatus(), err)
}

func setRetryAfter(header http.Header, seconds *int32) {
	if seconds != nil {
		header.Set("Retry-After", strconv.Itoa(int(*seconds)))
	}
}

// write sends the response.
func (e *exchange) write(status int, body []byte) {
	// RFC 9110 8.6: a 204 has neither a body nor a Content-Length.
	if status != http.StatusNoContent {
		header := e.w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	e.w.WriteHeader(status)
	// An error means that the client is gone: there is nobody to tell.
	_, _ = e.w.Write(body)
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
func (e *exchange) name() string {
	if e.operation == nil {
		return "unknown"
	}
	return e.operation.name
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

// count counts the call and has it traced, unless it was refused before it got as far as the handler. It is counted before it is
// answered, so that who has an answer finds it counted.
func (e *exchange) count(status int, errorCode string) {
	if e.cfg.Calls != nil {
		e.cfg.Calls.Add(tally.Call{Name: e.name(), Code: errorCode}, time.Since(e.started))
	}
	if e.cfg.Trace != nil {
		e.cfg.Trace(&EndedCall{Request: e.r, Started: e.started, Operation: e.name(), Caller: e.caller, Status: status, ErrorCode: errorCode})
	}
}

// log writes the request's line. err is what was answered with an error, nil for success.
func (e *exchange) log(status int, err error) {
	level := slog.LevelDebug
	// A client that disconnects cancels its operation, which is no fault of the server.
	if status >= 500 && e.r.Context().Err() == nil {
		level = slog.LevelWarn
	}
	ctx := e.r.Context()
	if !e.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("operation", e.name()),
		slog.String("requestId", e.caller.RequestID),
		slog.String("account", e.caller.Account),
		slog.String("principal", e.caller.Principal),
		slog.Int("status", status),
		slog.Duration("duration", time.Since(e.started)),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	e.cfg.Log.LogAttrs(ctx, level, "api request", attrs...)
}
