// Package misdirected answers requests that are meant for other AWS services. They come from clients that send everything here
// because of AWS_ENDPOINT_URL. Without this package, their users would see an error in the form of another service, or none at
// all.
//
// The signature names the service that is meant, or else the header with the operation. The response has the form that the
// service's clients can read. It needs no authentication, since it reveals nothing.
package misdirected

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"trellis/internal/api"
	"trellis/internal/excerpt"
	"trellis/internal/identity"
	"trellis/internal/tagging"
	"trellis/internal/uuid"
)

// Config is what a handler works with.
type Config struct {
	// Next gets the requests for VPC Lattice and STS, and those that do not say for which service they are.
	Next http.Handler
	// Tagging answers for the Resource Groups Tagging API.
	Tagging http.Handler
	// Log gets a line for each request that is answered here, at debug level.
	Log *slog.Logger
}

// NewHandler returns the handler in front of the services that Trellis has.
func NewHandler(cfg Config) http.Handler { return &handler{cfg} }

type handler struct{ cfg Config }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch service := serviceOf(r); service {
	case "", "vpc-lattice", "sts",
		"vpc-lattice-svcs": // A signature for requests to services, which Next refuses, saying what it should be.
		h.cfg.Next.ServeHTTP(w, r)
	case "tagging":
		h.cfg.Tagging.ServeHTTP(w, r)
	default:
		h.refuse(w, r, service)
	}
}

// serviceOf returns the name of the service that a request is for, as signatures have it, or "" if it does not say.
func serviceOf(r *http.Request) string {
	operation := r.Header.Get("X-Amz-Target")
	if tagging.IsTarget(operation) {
		return "tagging"
	}
	if service := identity.RequestedService(r); service != "" {
		return service
	}
	// Services that name the operation in a header put their own name and a version before it. This service puts nothing.
	name, _, _ := strings.Cut(operation, ".")
	return name
}

// code is the code of the error.
const code = "UnsupportedService"

// refuse answers in the form of a service. The status must be one after which clients do not retry.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, service string) {
	requestID := uuid.New()
	message := fmt.Sprintf("This is Trellis, which answers for VPC Lattice, and not for the AWS service %s. To send VPC Lattice alone here, "+
		"set AWS_ENDPOINT_URL_VPC_LATTICE instead of AWS_ENDPOINT_URL. Of other services there are AssumeRole, GetCallerIdentity and GetSessionToken of STS "+
		"(AWS_ENDPOINT_URL_STS) and GetResources, GetTagKeys and GetTagValues of the Resource Groups Tagging API "+
		"(AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API).", shorten(service))
	contentType, body := format(r, service)(message, requestID)
	header := w.Header()
	header.Set("X-Amzn-Requestid", requestID)
	header.Set("X-Amzn-Errortype", code)
	header.Set("Content-Type", contentType)
	if contentType == cborType {
		header.Set("Smithy-Protocol", "rpc-v2-cbor")
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	api.LeaveBody(w)
	w.WriteHeader(http.StatusBadRequest)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // An error means that the client is gone.
	}
	h.cfg.Log.Debug("request for another service", "awsService", shorten(service), "method", r.Method, "requestId", requestID)
}

// formatter makes the type and the body of a response.
type formatter func(message, requestID string) (contentType string, body []byte)

// format returns how a service's clients read errors (Smithy 2.0, AWS protocols).
func format(r *http.Request, service string) formatter {
	contentType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		return inCBOR
	case r.Header.Get("X-Amz-Target") != "":
		return inJSON
	case service == "ec2":
		return inEC2XML
	case strings.HasPrefix(service, "s3"):
		return inS3XML
	case contentType == "application/x-www-form-urlencoded", r.URL.Query().Has("Action"), service == "route53", service == "cloudfront":
		return inXML
	default:
		return inJSON
	}
}

func inJSON(message, _ string) (string, []byte) {
	body, _ := json.Marshal(struct { // Texts can be encoded.
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{code, message})
	return "application/json", body
}

type xmlError struct {
	Type      string `xml:",omitempty"`
	Code      string
	Message   string
	RequestID string `xml:"RequestId,omitempty"`
}

func inXML(message, requestID string) (string, []byte) {
	return toXML(struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Error     xmlError
		RequestID string `xml:"RequestId"`
	}{Error: xmlError{Type: "Sender", Code: code, Message: message}, RequestID: requestID})
}

func inS3XML(message, requestID string) (string, []byte) {
	return toXML(struct {
		XMLName xml.Name `xml:"Error"`
		xmlError
	}{xmlError: xmlError{Code: code, Message: message, RequestID: requestID}})
}

func inEC2XML(message, requestID string) (string, []byte) {
	return toXML(struct {
		XMLName   xml.Name `xml:"Response"`
		Error     xmlError `xml:"Errors>Error"`
		RequestID string
	}{Error: xmlError{Code: code, Message: message}, RequestID: requestID})
}

func toXML(v any) (string, []byte) {
	body, _ := xml.Marshal(v) // Texts can be encoded.
	return "text/xml", append([]byte(xml.Header), body...)
}

const cborType = "application/cbor"

// inCBOR makes a map of two texts (RFC 8949 3.1). A library would be too much for that.
func inCBOR(message, _ string) (string, []byte) {
	const (
		mapOfTwo = 5<<5 | 2
		longText = 3<<5 | 25 // a text with two bytes of length
	)
	body := []byte{mapOfTwo}
	for _, text := range []string{"__type", code, "message", message} {
		body = append(body, longText, byte(len(text)>>8), byte(len(text)))
		body = append(body, text...)
	}
	return cborType, body
}

// shorten keeps what a client sent from filling its response and the log. CBOR takes valid texts only.
func shorten(s string) string { return strings.ToValidUTF8(excerpt.Of(s, excerpt.Shown), "?") }
