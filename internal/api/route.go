package api

import (
	"net/url"
	"strings"
)

// maxLabels is how many identifiers a path has at most.
const maxLabels = 3

// labels are the identifiers in a path, decoded, in the path's order.
type labels [maxLabels]string

// segments walks an escaped path from left to right for the generated function route, and keeps its labels.
// The path stays escaped until it is cut into segments, so that an ARN's %2F does not end a segment, and each
// label is unescaped exactly once.
type segments struct {
	// rest is what is left of the path: empty, or "/segment...".
	rest   string
	labels labels
	count  int
}

// end reports whether the path ends here. A path that ends in a slash does not: its last segment is empty.
func (s *segments) end() bool { return s.rest == "" }

// next cuts off the next segment; it is empty when there is none. What does not begin with a slash is not a path; a server
// receives only one such target, that of "OPTIONS *".
func (s *segments) next() string {
	if s.rest == "" || s.rest[0] != '/' {
		return ""
	}
	segment := s.rest[1:]
	if i := strings.IndexByte(segment, '/'); i >= 0 {
		segment = segment[:i]
	}
	s.rest = s.rest[1+len(segment):]
	return segment
}

// label keeps the next segment as a label. It returns false if there is none, or if it is not valid text.
func (s *segments) label() bool { return s.keep(s.next()) }

// lastLabel keeps the next segment as a label, with everything after it if it is an ARN, for clients that do not escape the
// slashes of an ARN. A-106.
func (s *segments) lastLabel() bool {
	rest := s.rest
	segment := s.next()
	if !s.end() && isARNPrefix(segment) && !strings.HasSuffix(rest, "/") {
		segment, s.rest = rest[1:], ""
	}
	return s.keep(segment)
}

func isARNPrefix(segment string) bool {
	return strings.HasPrefix(segment, "arn:") || len(segment) > 6 && strings.EqualFold(segment[:6], "arn%3a")
}

func (s *segments) keep(segment string) bool {
	label, err := url.PathUnescape(segment)
	if err != nil || label == "" {
		return false
	}
	s.labels[s.count] = label
	s.count++
	return true
}
