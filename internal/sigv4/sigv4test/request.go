// Package sigv4test has requests as they go over the wire, for tests of signatures, and changes their bits.
package sigv4test

import (
	"bytes"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"

	"trellis/internal/sigv4"
)

// Request is a request as it goes over the wire.
type Request struct {
	Method, Path, Query, Host string
	// Lines are the names and values of its header lines, without the host's.
	Lines [][2]string
}

// Sent returns how net/http sends a request.
func Sent(r *http.Request) *Request {
	s := &Request{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Host: r.Host}
	if s.Host == "" {
		s.Host = r.URL.Host
	}
	return s.with(r.Header)
}

// Received returns a request that net/http has read, as the client sent it.
func Received(r *http.Request) *Request {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	return (&Request{Method: r.Method, Path: path, Query: query, Host: r.Host}).with(r.Header)
}

func (s *Request) with(headers http.Header) *Request {
	for name, values := range headers {
		for _, value := range values {
			if !strings.EqualFold(name, "host") {
				s.Lines = append(s.Lines, [2]string{name, value})
			}
		}
	}
	return s
}

// View returns the view of the request that signatures use.
func (s *Request) View() *sigv4.Request {
	return &sigv4.Request{Method: []byte(s.Method), Path: []byte(s.Path), Query: []byte(s.Query), Host: []byte(s.Host), Headers: s}
}

// Header implements sigv4.Headers.
func (s *Request) Header(name string, from int) ([]byte, int) {
	for i := from; i < len(s.Lines); i++ {
		if strings.EqualFold(s.Lines[i][0], name) {
			return []byte(s.Lines[i][1]), i + 1
		}
	}
	return nil, -1
}

// signedFields returns the numbers of the texts that a signature covers, or is made of.
func (s *Request) signedFields(signature *sigv4.Signature) []int {
	var signed []int
	for i := range s.fields() {
		line := i - ownFields
		if line < 0 || signature.Signs(strings.ToLower(s.Lines[line][0])) || !signature.Presigned && strings.EqualFold(s.Lines[line][0], "authorization") {
			signed = append(signed, i)
		}
	}
	return signed
}

// ownFields is how many texts of a request are not header lines.
const ownFields = 4

func (s *Request) fields() []*string {
	fields := []*string{&s.Method, &s.Path, &s.Query, &s.Host}
	for i := range s.Lines {
		fields = append(fields, &s.Lines[i][1])
	}
	return fields
}

// Changed yields the request with one bit changed, for each bit of what is signed that choose chooses by its number within its
// text. It leaves out requests that cannot be sent, that mean the same to signers, or that have no signature any more.
func (s *Request) Changed(signature *sigv4.Signature, choose func(bit, bits int) bool) func(yield func(*Request) bool) {
	return func(yield func(*Request) bool) {
		for _, i := range s.signedFields(signature) {
			bits := 8 * len(*s.fields()[i])
			for bit := range bits {
				if !choose(bit, bits) {
					continue
				}
				changed := *s
				changed.Lines = slices.Clone(s.Lines)
				field := changed.fields()[i]
				b := []byte(*field)
				b[bit/8] ^= 1 << (bit % 8)
				*field = string(b)
				if bytes.ContainsAny(b, "\x00\r\n") || changed.meansTheSame(s) || sigv4.PlaceOf(changed.View()) == sigv4.Nowhere {
					continue
				}
				if !yield(&changed) {
					return
				}
			}
		}
	}
}

// meansTheSame reports whether two requests differ only in what signers ignore: white space in headers, how the query is
// encoded, and empty and dot segments of the path.
func (s *Request) meansTheSame(o *Request) bool {
	return s.Method == o.Method && s.Host == o.Host &&
		(s.Path == o.Path || normal(s.Path) == normal(o.Path)) &&
		reflect.DeepEqual(parsedQuery(s.Query), parsedQuery(o.Query)) &&
		slices.EqualFunc(s.Lines, o.Lines, func(a, b [2]string) bool {
			return a[0] == b[0] && slices.Equal(strings.Fields(a[1]), strings.Fields(b[1]))
		})
}

// normal returns a path without empty and dot segments.
func normal(p string) string {
	clean := path.Clean("/" + p)
	if clean != "/" && strings.HasSuffix(p, "/") {
		clean += "/"
	}
	return clean
}

func parsedQuery(query string) url.Values {
	values, err := url.ParseQuery(query)
	if err != nil {
		return url.Values{query: nil} // It equals only itself.
	}
	for _, list := range values {
		slices.Sort(list)
	}
	return values
}
