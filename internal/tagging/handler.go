// Package tagging answers the reading operations of AWS's Resource Groups Tagging API for the resources that are stored
// here: GetResources, GetTagKeys and GetTagValues. Clients use it to find what they have tagged.
//
// It speaks the protocol AWS JSON 1.1, in which the operation is a header and input and output are JSON. Tags are changed
// through the API of VPC Lattice alone.
package tagging

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/internal/uuid"
)

// target is what stands before the operation's name in X-Amz-Target.
const target = "ResourceGroupsTaggingAPI_20170126."

// maxBodyBytes is above any request: 100 ARNs, and 50 filters of 20 values.
const maxBodyBytes = 512 << 10

// Config is what a handler works with.
type Config struct {
	Catalog *catalog.Catalog
	// Authenticator accepts signatures for the service tagging.
	Authenticator api.Authenticator
	// Authorizer decides what callers may do. Nil means that everybody may do everything.
	Authorizer api.Authorizer
	Throttle   *api.Throttle
	// Log gets a line for each request at debug level.
	Log *slog.Logger
}

// IsTarget reports whether an X-Amz-Target names an operation of this API.
func IsTarget(header string) bool { return strings.HasPrefix(header, target) }

// NewHandler returns the handler of the Resource Groups Tagging API.
func NewHandler(cfg Config) http.Handler { return &handler{cfg} }

type handler struct{ cfg Config }

// operation reads a view of the catalog. The input has not been checked.
type operation func(v catalog.View, scope lattice.Scope, body []byte) (output any, err error)

func operationNamed(name string) (operation, bool) {
	switch name {
	case "GetResources":
		return decoding(getResources), true
	case "GetTagKeys":
		return decoding(getTagKeys), true
	case "GetTagValues":
		return decoding(getTagValues), true
	}
	return nil, false
}

// decoding returns an operation that decodes its input first.
func decoding[In, Out any](fn func(v catalog.View, scope lattice.Scope, in *In) (*Out, error)) operation {
	return func(v catalog.View, scope lattice.Scope, body []byte) (any, error) {
		in := new(In)
		if len(body) > 0 {
			if err := json.Unmarshal(body, in); err != nil {
				return nil, &refusal{Code: "SerializationException", Message: "The body is not the JSON of the operation's input: " + err.Error()}
			}
		}
		return fn(v, scope, in)
	}
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := uuid.New()
	w.Header().Set("X-Amzn-Requestid", requestID)
	status := http.StatusOK
	out, err := h.answer(w, r, requestID)
	if err != nil {
		refused := refusalOf(err)
		if refused.Code == internalFailure {
			h.cfg.Log.Warn("tagging request", "requestId", requestID, "error", err)
		}
		status, out = refused.status(), refused
		w.Header().Set("X-Amzn-Errortype", refused.Code)
	}
	body, err := json.Marshal(out)
	if err != nil { // This cannot fail: a response has only texts.
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	api.LeaveBody(w) // A client that is refused need not have sent it.
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	// An error means that the client is gone.
	_, _ = w.Write(body)
	h.cfg.Log.Debug("tagging request", "requestId", requestID, "status", status)
}

func (h *handler) answer(w http.ResponseWriter, r *http.Request, requestID string) (any, error) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target)
	perform, ok := operationNamed(name)
	if !ok || r.Method != http.MethodPost || r.Header.Get("X-Amz-Target") == "" {
		return nil, &refusal{Code: "UnknownOperationException", Message: "Of the Resource Groups Tagging API there are GetResources, GetTagKeys and " +
			"GetTagValues here, by AWS JSON 1.1. Change tags with TagResource and UntagResource of VPC Lattice."}
	}
	read := api.BodyOnce(w, r, maxBodyBytes, &refusal{Code: "SerializationException", Message: "The body cannot be read, or is too large."})
	caller, err := h.cfg.Authenticator.Authenticate(r, read)
	if err != nil {
		return nil, err
	}
	caller.CameBy(r, requestID)
	if err := h.cfg.Throttle.Admit(caller.Account, time.Now()); err != nil {
		return nil, err
	}
	body, err := read()
	if err != nil {
		return nil, err
	}
	if h.cfg.Authorizer != nil {
		call := api.Call{Caller: caller, Service: "tag", Operation: name, Resource: "*", Input: &struct{}{}}
		if err := h.cfg.Authorizer.Authorize(call); err != nil {
			return nil, err
		}
	}
	leave, err := h.cfg.Throttle.Enter(r.Context())
	if err != nil {
		return nil, err
	}
	defer leave()
	var out any
	h.cfg.Catalog.Read(func(v catalog.View) { out, err = perform(v, caller.Scope(), body) })
	return out, err
}

// refusal is an error as it is answered.
type refusal struct {
	Code    string `json:"__type"`
	Message string `json:"message"`
}

const internalFailure = "InternalServiceException"

func (r *refusal) Error() string { return r.Code + ": " + r.Message }

func (r *refusal) status() int {
	if r.Code == internalFailure {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest // AWS JSON 1.1 has no other status for errors of the client.
}

func invalid(message string) error {
	return &refusal{Code: "InvalidParameterException", Message: message}
}

// refusalOf returns what an error is answered with: this API has names of its own for some.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if e, ok := errors.AsType[*api.AuthenticationError](err); ok {
		return &refusal{Code: e.Code, Message: e.Message}
	}
	if e, ok := errors.AsType[*shape.AccessDeniedException](err); ok {
		return &refusal{Code: e.ErrorCode(), Message: *e.Message}
	}
	if e, ok := errors.AsType[*shape.ThrottlingException](err); ok {
		return &refusal{Code: "ThrottledException", Message: *e.Message}
	}
	return &refusal{Code: internalFailure, Message: "Something went wrong in the server."}
}
