// Package sts answers the operations of AWS's Security Token Service that clients of Lattice call: GetCallerIdentity, which
// returns who the caller is, and AssumeRole and GetSessionToken, which return temporary credentials. It is on the port of the
// API, so that a client needs one endpoint for both. It passes other requests on.
//
// STS speaks AWS's query protocol: requests are forms, and responses XML, or JSON for clients that accept only that.
package sts

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/catalog"
	"trellis/internal/excerpt"
	"trellis/internal/principal"
	"trellis/internal/shape"
	"trellis/internal/uuid"
)

const (
	// version is the version of the STS API, which every request names.
	version = "2011-06-15"
	// namespace is the XML namespace of its responses.
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	// maxBodyBytes is larger than any request. The largest has 50 tags with keys and values of full length, all encoded.
	maxBodyBytes = 128 << 10
)

// Config says what a handler works with.
type Config struct {
	// Authenticator accepts signatures for the service sts.
	Authenticator api.Authenticator
	// Authorizer decides what callers may do. Nil means that everybody may do everything.
	Authorizer api.Authorizer
	Throttle   *api.Throttle
	// Principals knows the roles.
	Principals *principal.Directory
	// Catalog keeps the temporary credentials.
	Catalog *catalog.Catalog
	// Audit gets an entry for each role that is assumed. Nil means that there is no audit log.
	Audit *audit.Log
	// Next gets the requests that are not for STS.
	Next http.Handler
	// Log gets a line for each request at debug level.
	Log *slog.Logger
}

// NewHandler returns the handler of STS before another one.
func NewHandler(cfg Config) http.Handler { return &handler{cfg} }

type handler struct{ cfg Config }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isQueryRequest(r) {
		h.cfg.Next.ServeHTTP(w, r)
		return
	}
	requestID := uuid.New()
	w.Header().Set("X-Amzn-Requestid", requestID)
	status := http.StatusOK
	action, result, err := h.answer(w, r, requestID)
	out := any(&response{action: action, Namespace: namespace, result: result, Metadata: metadata{requestID}})
	if err != nil {
		refusal := refusalOf(err)
		status = refusal.status
		out = errorResponse{Namespace: namespace, Error: refusal, RequestID: requestID}
		if status >= http.StatusInternalServerError {
			h.cfg.Log.Warn("sts request", "requestId", requestID, "error", err)
		}
	}
	api.LeaveBody(w) // A client that is refused need not have sent it.
	write(w, r, status, out)
	h.cfg.Log.Debug("sts request", "requestId", requestID, "operation", action, "status", status)
}

// isQueryRequest reports whether a request is in the query protocol. The API has no operation at the root.
func isQueryRequest(r *http.Request) bool {
	if r.URL.Path != "" && r.URL.Path != "/" {
		return false
	}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return contentType == "application/x-www-form-urlencoded" || r.URL.Query().Has("Action")
}

// answer checks the request and carries its action out.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, requestID string) (action string, result any, err error) {
	read := api.BodyOnce(w, r, maxBodyBytes, malformed("MalformedInput", "The body cannot be read, or is too large."))
	caller, err := h.cfg.Authenticator.Authenticate(r, read)
	if err != nil {
		return "", nil, err
	}
	caller.CameBy(r, requestID)
	parameters := r.URL.Query()
	if r.Method == http.MethodPost {
		body, err := read()
		if err != nil {
			return "", nil, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return "", nil, malformed("MalformedQueryString", "The body is not a form.")
		}
		for name, values := range form {
			parameters[name] = values
		}
	}
	if err := h.cfg.Throttle.Admit(caller.Account, time.Now()); err != nil {
		return "", nil, err
	}
	action, asked := parameters.Get("Action"), parameters.Get("Version")
	switch {
	case action == "":
		return "", nil, malformed("MissingAction", "The request names no Action.")
	case asked != version:
	case action == "GetCallerIdentity": // As at AWS, this needs no permission.
		return action, callerIdentity{ARN: caller.Principal, UserID: caller.UserID, Account: caller.Account}, nil
	case action == "AssumeRole":
		result, err = h.assumeRole(r.Context(), caller, parameters)
		return action, result, err
	case action == "GetSessionToken":
		result, err = h.getSessionToken(r.Context(), caller, parameters)
		return action, result, err
	}
	//
	return "", nil, malformed("InvalidAction", "Could not find operation "+excerpt.Of(action, excerpt.Shown)+" for version "+excerpt.Of(asked, excerpt.Shown)+
		". Those here are AssumeRole, GetCallerIdentity and GetSessionToken for version "+version+".")
}

// malformed returns the error of a request that cannot be understood.
func malformed(code, message string) error {
	return &refusal{Type: "Sender", Code: code, Message: message, status: http.StatusBadRequest}
}

// refusalOf returns the refusal that answers an error.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if e, ok := errors.AsType[*api.AuthenticationError](err); ok {
		return &refusal{Type: "Sender", Code: e.Code, Message: e.Message, status: e.HTTPStatus()}
	}
	if e, ok := errors.AsType[*shape.AccessDeniedException](err); ok {
		return &refusal{Type: "Sender", Code: "AccessDenied", Message: *e.Message, status: http.StatusForbidden}
	}
	if e, ok := errors.AsType[*shape.ThrottlingException](err); ok {
		return &refusal{Type: "Sender", Code: e.ErrorCode(), Message: *e.Message, status: e.HTTPStatus()}
	}
	return &refusal{Type: "Receiver", Code: "InternalFailure", Message: "Something went wrong in the server.", status: http.StatusInternalServerError}
}

// write sends a response as XML, or as JSON if the client asks for that.
func write(w http.ResponseWriter, r *http.Request, status int, out any) {
	contentType, body, err := "text/xml", []byte(nil), error(nil)
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		contentType = "application/json"
		body, err = json.Marshal(out)
	} else {
		body, err = xml.MarshalIndent(out, "", "  ")
	}
	if err != nil {
		// This cannot fail: a response has only texts.
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// An error means that the client is gone.
	_, _ = w.Write(append(body, '\n'))
}
