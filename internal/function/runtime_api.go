package function

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"trellis/internal/excerpt"
)

// runtimeAPI serves the Lambda Runtime API to one process
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
func (p *process) runtimeAPI() http.Handler {
	const version = "/2018-06-01/runtime"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+version+"/invocation/next", p.serveNext)
	mux.HandleFunc("POST "+version+"/invocation/{id}/response", p.serveResponse)
	mux.HandleFunc("POST "+version+"/invocation/{id}/error", p.serveError)
	mux.HandleFunc("POST "+version+"/init/error", p.serveInitError)
	return mux
}

// serveNext answers with the process's next event, as soon as there is one.
func (p *process) serveNext(w http.ResponseWriter, r *http.Request) {
	inv, err := p.pool.ask(p)
	if err != nil {
		refuseRuntime(w, http.StatusForbidden, "InvalidStateTransition", err)
		return
	}
	if inv == nil {
		select {
		case inv = <-p.next:
		case <-r.Context().Done():
			p.pool.leave(p)
			return // The process just got an event and is gone: the event times out.
		case <-p.killed.Done():
			<-r.Context().Done() // The process must not take an error for an event.
			return
		}
	}
	p.output.begin(inv.RequestID)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.Event)))
	h["Lambda-Runtime-Aws-Request-Id"] = []string{inv.RequestID}
	h["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(inv.deadline.UnixMilli(), 10)}
	h["Lambda-Runtime-Invoked-Function-Arn"] = []string{inv.ARN}
	h["Lambda-Runtime-Trace-Id"] = []string{inv.traceID()}
	_, _ = w.Write(inv.Event) // If the process does not get it, the event times out.
}

// serveResponse receives the function's response, at once or piece by piece.
func (p *process) serveResponse(w http.ResponseWriter, r *http.Request) {
	payload, err := readPayload(r)
	o := outcome{response: Response{Payload: payload, ContentType: r.Header.Get("Content-Type")}}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		o = outcome{err: &TooLargeError{p.function.Name(), "response"}}
	case err != nil:
		return // The process has broken off. If it still runs, the event times out.
	case r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "":
		// A streamed response can fail under way (docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html).
		o = outcome{err: &HandlerError{Function: p.function.Name(), Type: r.Trailer.Get("Lambda-Runtime-Function-Error-Type")}}
	}
	p.finish(w, r, o)
	if tooLarge != nil {
		refuseRuntime(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", o.err)
	}
}

// serveError receives the error with which the function answers.
func (p *process) serveError(w http.ResponseWriter, r *http.Request) {
	err, ok := p.readError(r)
	if ok {
		p.finish(w, r, outcome{err: err})
	}
}

// serveInitError receives the reason why the program cannot start. The program ends by itself after that.
func (p *process) serveInitError(w http.ResponseWriter, r *http.Request) {
	err, ok := p.readError(r)
	if !ok {
		return
	}
	p.pool.mu.Lock()
	if p.state == starting {
		p.problem = err.reason()
	}
	p.pool.mu.Unlock()
	accept(w)
}

// finish passes on the result of the event. The output so far belongs to that event.
func (p *process) finish(w http.ResponseWriter, r *http.Request, o outcome) {
	p.output.finish()
	if err := p.pool.complete(p, r.PathValue("id"), o); err != nil {
		refuseRuntime(w, http.StatusBadRequest, "InvalidRequestID", err)
		return
	}
	if _, ok := o.err.(*TooLargeError); !ok {
		accept(w)
	}
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`+"\n")
}

// reportedError is the body with which runtimes report errors.
type reportedError struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func refuseRuntime(w http.ResponseWriter, status int, errorType string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reportedError{err.Error(), errorType})
}

func readPayload(r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(nil, r.Body, MaxPayload))
}

// maxErrorText bounds an error's message.
const maxErrorText = 1000

// readError reads an error that a runtime reports. ok is false if the process has broken off.
func (p *process) readError(r *http.Request) (e *HandlerError, ok bool) {
	body, err := readPayload(r)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, false
	}
	return newHandlerError(p.function.Name(), r.Header.Get("Lambda-Runtime-Function-Error-Type"), body), true
}

// newHandlerError reads the body of an error. Whatever it cannot read is left out.
func newHandlerError(function, errorType string, body []byte) *HandlerError {
	var reported reportedError
	_ = json.Unmarshal(body, &reported)
	if reported.Type != "" {
		errorType = reported.Type
	}
	return &HandlerError{Function: function, Type: excerpt.Of(errorType, maxErrorText), Message: excerpt.Of(reported.Message, maxErrorText)}
}

func (e *HandlerError) reason() string {
	switch {
	case e.Type == "" && e.Message == "":
		return "it reported an initialization error"
	case e.Message == "":
		return e.Type
	case e.Type == "":
		return e.Message
	default:
		return e.Type + ": " + e.Message
	}
}
