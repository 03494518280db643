package identity

import (
	"net/http"
	"strconv"

	"trellis/internal/sigv4"
)

// signedView is a request of net/http in the form that signatures need.
func signedView(r *http.Request) *sigv4.Request {
	return &sigv4.Request{
		Method: []byte(r.Method), Path: []byte(r.URL.EscapedPath()), Query: []byte(r.URL.RawQuery), Host: []byte(r.Host),
		Headers: headers{r},
	}
}

// headers implements sigv4.Headers.
type headers struct{ r *http.Request }

// Header implements sigv4.Headers. A position is the number of a line among those of one name.
func (h headers) Header(name string, from int) (value []byte, next int) {
	values := h.r.Header.Values(name)
	if name == "content-length" && h.r.ContentLength >= 0 { // net/http keeps the host apart from the other headers.
		values = []string{strconv.FormatInt(h.r.ContentLength, 10)}
	}
	if from >= len(values) {
		return nil, -1
	}
	return []byte(values[from]), from + 1
}

// RequestedService returns the name of the AWS service for which a request is signed, "" if it is not signed. It does not
// check the signature.
func RequestedService(r *http.Request) string {
	c, _ := sigv4.NamedCredential(signedView(r))
	return c.Service
}
