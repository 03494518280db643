package dns

import "codeberg.org/miekg/dns"

// rcodeBits is how many bits of a response's code are in its head (RFC 1035 4.1.1). EDNS has more (RFC 6891 6.1.3), which are
// ignored here.
const rcodeBits = 4

// count counts a response.
func (s *Server) count(response []byte) {
	if len(response) >= headerBytes {
		s.responses[response[3]&(1<<rcodeBits-1)].Add(1)
	}
}

// Responses returns the number of responses by code, such as NOERROR. Codes that have not occurred are left out.
func (s *Server) Responses() map[string]int64 {
	counted := map[string]int64{}
	for code := range s.responses {
		if n := s.responses[code].Load(); n > 0 {
			counted[dns.RcodeToString[uint16(code)]] = n
		}
	}
	return counted
}

// Dropped returns how many queries over UDP and connections over TCP were dropped because there were too many.
func (s *Server) Dropped() int64 { return s.dropped.Load() }
