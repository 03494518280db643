package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"trellis/internal/function/event"
)

// headers returns the lines that a function sees: those of the client that are not about the connection, and where the
// client is.
func headers(r *http.Request) []event.Header {
	list := []event.Header{{Name: "host", Value: r.Host}}
	for name, values := range r.Header {
		name = strings.ToLower(name)
		switch {
		case strings.HasPrefix(name, "x-amzn-lattice-"):
			continue // The event has them as members.
		case name == "connection", name == "te", name == "upgrade", name == "expect", name == "x-amzn-requestid", name == "cdn-loop":
			continue
		}
		for _, value := range values {
			list = append(list, event.Header{Name: name, Value: value})
		}
	}
	return list
}

// fields reads a text of the form k=v; k=v.
func fields(text string) map[string]string {
	read := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		if name, value, found := strings.Cut(strings.TrimSpace(part), "="); found {
			read[name] = value
		}
	}
	return read
}

// identityOf returns who sent a request. Of an anonymous caller, only the VPC is known.
func identityOf(sender map[string]string, sourceVPC string) event.Identity {
	return event.Identity{
		SourceVpcARN:   sourceVPC,
		Type:           sender["Type"],
		Principal:      sender["Principal"],
		PrincipalOrgID: sender["PrincipalOrgID"],
		SessionName:    sender["SessionName"],
		X509IssuerOU:   sender["X509Issuer/OU"],
		X509SANDNS:     sender["X509SAN/DNS"],
		X509SANNameCN:  sender["X509SAN/NameCN"],
		X509SANURI:     sender["X509SAN/URI"],
		X509SubjectCN:  sender["X509Subject/CN"],
	}
}

// region returns the Region of an ARN.
func region(arn string) string {
	parts := strings.SplitN(arn, ":", 5)
	if len(parts) < 5 {
		return ""
	}
	return parts[3]
}

// appendResponse writes a response by HTTP/1.1. Its length is that of the body; a response to HEAD has the length and not
// the body (RFC 9110 9.3.2).
func appendResponse(dst []byte, method string, r *event.Response) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(r.Status)...)
	dst = append(dst, "\r\n"...)
	for _, h := range r.Headers {
		dst = append(dst, h.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, h.Value...)
		dst = append(dst, "\r\n"...)
	}
	withoutBody := r.Status == http.StatusNoContent || r.Status == http.StatusNotModified
	if !withoutBody {
		dst = append(dst, "content-length: "...)
		dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	if withoutBody || method == http.MethodHead {
		return dst
	}
	return append(dst, r.Body...)
}
