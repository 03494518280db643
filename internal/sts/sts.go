// Package sts answers the one operation of AWS's Security Token Service that clients of Lattice call on their own
// account: GetCallerIdentity, which says who the caller is. It stands before the API on the same port, so that
// a client needs one endpoint for both: what is no request to STS is passed on.
//
// STS speaks AWS's query protocol: a form goes in, XML comes out (or JSON, to who accepts only that).
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

	"trellis/internal/api"
	"trellis/internal/shape"
)

const (
	// version is that of the STS API, which every request names.
	version = "2011-06-15"
	// namespace is that of its answers.
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
	// maxBodyBytes is far above any request to GetCallerIdentity.
	maxBodyBytes = 16 << 10
)

// Config says what a handler works with.
type Config struct {
	// Authenticator accepts signatures for the service sts.
	Authenticator api.Authenticator
	// Next gets what is no request to STS.
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
	requestID := api.NewRequestID()
	w.Header().Set("X-Amzn-Requestid", requestID)
	status := http.StatusOK
	var out any
	if caller, err := h.identify(w, r); err != nil {
		refusal := refusalOf(err)
		status = refusal.status
		out = errorResponse{Namespace: namespace, Error: refusal, RequestID: requestID}
	} else {
		out = getCallerIdentityResponse{
			Namespace: namespace,
			Result:    callerIdentity{ARN: caller.Principal, UserID: caller.UserID, Account: caller.Account},
			Metadata:  metadata{requestID},
		}
	}
	api.LeaveBody(w) // A client that is refused need not have sent it.
	write(w, r, status, out)
	h.cfg.Log.Debug("sts request", "requestId", requestID, "status", status)
}

// isQueryRequest tells requests in the query protocol from those to the API, which has no operation at the root.
func isQueryRequest(r *http.Request) bool {
	if r.URL.Path != "" && r.URL.Path != "/" {
		return false
	}
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return contentType == "application/x-www-form-urlencoded" || r.URL.Query().Has("Action")
}

// identify checks the request and returns who made it. Nobody needs a permission for that, as at AWS.
func (h *handler) identify(w http.ResponseWriter, r *http.Request) (api.Caller, error) {
	read := api.BodyOnce(w, r, maxBodyBytes,
		&refusal{Type: "Sender", Code: "MalformedInput", Message: "The body cannot be read, or is too large.", status: http.StatusBadRequest})
	caller, err := h.cfg.Authenticator.Authenticate(r, read)
	if err != nil {
		return api.Caller{}, err
	}
	parameters := r.URL.Query()
	if r.Method == http.MethodPost {
		body, err := read()
		if err != nil {
			return api.Caller{}, err
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return api.Caller{}, &refusal{Type: "Sender", Code: "MalformedQueryString", Message: "The body is no form.", status: http.StatusBadRequest}
		}
		for name, values := range form {
			parameters[name] = values
		}
	}
	action, asked := parameters.Get("Action"), parameters.Get("Version")
	switch {
	case action == "":
		return api.Caller{}, &refusal{Type: "Sender", Code: "MissingAction", Message: "The request names no Action.", status: http.StatusBadRequest}
	case action != "GetCallerIdentity" || asked != version:
		//
		return api.Caller{}, &refusal{Type: "Sender", Code: "InvalidAction", status: http.StatusBadRequest,
			Message: "Could not find operation " + api.Shorten(action, shownCharacters) + " for version " + api.Shorten(asked, shownCharacters) + ". The only one here is GetCallerIdentity for version " + version + "."}
	}
	return caller, nil
}

// shownCharacters is how much of what a client sent stands in a message.
const shownCharacters = 64

// refusalOf returns what an error is answered with.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if e, ok := errors.AsType[*api.AuthenticationError](err); ok {
		return &refusal{Type: "Sender", Code: e.Code, Message: e.Message, status: e.HTTPStatus()}
	}
	if e, ok := errors.AsType[*shape.ThrottlingException](err); ok {
		return &refusal{Type: "Sender", Code: e.ErrorCode(), Message: *e.Message, status: e.HTTPStatus()}
	}
	return &refusal{Type: "Receiver", Code: "InternalFailure", Message: "Something went wrong in the server.", status: http.StatusInternalServerError}
}

// write sends an answer as XML, or as JSON to who asks for that.
func write(w http.ResponseWriter, r *http.Request, status int, out any) {
	contentType, body, err := "text/xml", []byte(nil), error(nil)
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		contentType = "application/json"
		body, err = json.Marshal(out)
	} else {
		body, err = xml.MarshalIndent(out, "", "  ")
	}
	if err != nil {
		// Texts are all there is in an answer.
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	// A client that has gone away does not read the rest.
	_, _ = w.Write(append(body, '\n'))
}
