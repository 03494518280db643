package server

import (
	"fmt"
	"net/http"
	"strings"
)

// serverName is in the Server header of pages that describe this program, so that another node can tell who has its port.
const serverName = "Trellis"

// isRoot reports whether a client asks a port what it is. A signed request is a call of some API: GET / is ListBuckets of
// S3.
func isRoot(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.URL.Path == "/" && r.URL.RawQuery == "" &&
		r.Header.Get("Authorization") == ""
}

// describeAPI answers GET / on the API port, where the API itself has no operation.
func (s *Server) describeAPI(next http.Handler) http.Handler {
	endpoint := "http://" + s.apiListener.Addr().String()
	var text strings.Builder
	fmt.Fprintf(&text, "This is the API port of Trellis, an application network that speaks the Amazon VPC Lattice API.\n\n")
	fmt.Fprintf(&text, "Point AWS clients at it as their endpoint for VPC Lattice:\n")
	fmt.Fprintf(&text, "  aws vpc-lattice list-services --endpoint-url %s --region %s\n", endpoint, s.cfg.Region)
	if s.cfg.Dev {
		fmt.Fprintf(&text, "Any credentials will do, and none too:\n  curl -s %s/services\n", endpoint)
	} else {
		fmt.Fprintf(&text, "Requests must be signed (AWS Signature Version 4) with keys that the operator gives out.\n")
	}
	fmt.Fprintf(&text, "Other programs ask the admin port whether Trellis is ready, and where requests go.\n")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isRoot(r) {
			describe(w, text.String())
			return
		}
		next.ServeHTTP(w, r)
	})
}

func describe(w http.ResponseWriter, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Server", serverName)
	_, _ = w.Write([]byte(text))
}
