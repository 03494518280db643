package http1

// Name says which header a line is, as far as the proxy treats that header specially.
type Name uint8

// The names. Other is any header that is passed on as it is.
const (
	Other Name = iota
	CDNLoop
	Connection
	ContentLength
	Expect
	Host
	KeepAlive
	ProxyConnection
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	XAmznLattice // see isOurs
	XAmznRequestID
	XForwardedFor
	XForwardedPort
	XForwardedProto

	// NameCount is how many names there are.
	NameCount
)

const latticePrefix = "x-amzn-lattice-"

// nameOf finds out which header a line is. Most can be told apart by their length alone.
func nameOf(name []byte) Name {
	switch len(name) {
	case 2:
		if EqualFold(name, "te") {
			return TE
		}
	case 4:
		if EqualFold(name, "host") {
			return Host
		}
	case 6:
		if EqualFold(name, "expect") {
			return Expect
		}
	case 7:
		switch {
		case EqualFold(name, "upgrade"):
			return Upgrade
		case EqualFold(name, "trailer"):
			return Trailer
		}
	case 8:
		if EqualFold(name, "cdn-loop") {
			return CDNLoop
		}
	case 10:
		switch {
		case EqualFold(name, "connection"):
			return Connection
		case EqualFold(name, "keep-alive"):
			return KeepAlive
		case EqualFold(name, "user-agent"):
			return UserAgent
		}
	case 14:
		if EqualFold(name, "content-length") {
			return ContentLength
		}
	case 15:
		if EqualFold(name, "x-forwarded-for") {
			return XForwardedFor
		}
	case 16:
		switch {
		case EqualFold(name, "x-amzn-requestid"):
			return XAmznRequestID
		case EqualFold(name, "x-forwarded-port"):
			return XForwardedPort
		case EqualFold(name, "proxy-connection"):
			return ProxyConnection
		}
	case 17:
		switch {
		case EqualFold(name, "transfer-encoding"):
			return TransferEncoding
		case EqualFold(name, "x-forwarded-proto"):
			return XForwardedProto
		}
	}
	if isOurs(name) {
		return XAmznLattice
	}
	return Other
}

// isOurs reports whether a name is one that only the proxy may set and that has no Name of its own: all that start with
// x-amzn-lattice-, x-amzn-source-vpc, and any of the proxy's own that is written with underscores. Programs that get headers as
// variables read an underscore as a hyphen (RFC 3875 4.1.18), and so would believe it.
func isOurs(name []byte) bool {
	if len(name) < len("x-forwarded-for") || name[0]|0x20 != 'x' {
		return false
	}
	switch len(name) {
	case len("x-forwarded-for"):
		return isVariable(name, "x-forwarded-for")
	case len("x-forwarded-port"):
		return isVariable(name, "x-forwarded-port") || isVariable(name, "x-amzn-requestid")
	case len("x-forwarded-proto"):
		if isVariable(name, "x-forwarded-proto") || isVariable(name, "x-amzn-source-vpc") {
			return true
		}
	}
	return len(name) > len(latticePrefix) && isVariable(name[:len(latticePrefix)], latticePrefix)
}

// isVariable is EqualFold with underscores in place of hyphens. Both texts have the same length.
func isVariable(b []byte, lower string) bool {
	for i := 0; i < len(lower); i++ {
		switch c := b[i]; {
		case c == '_' && lower[i] == '-':
		case c >= 'A' && c <= 'Z' && c|0x20 == lower[i]:
		case c != lower[i]:
			return false
		}
	}
	return true
}

// EqualFold reports whether b is the text in any case. The text must be in lower case, and of letters, digits and hyphens.
func EqualFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := 0; i < len(lower); i++ {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// options calls yield with each element of a comma-separated list, without the white space around it.
func options(list []byte, yield func(option []byte)) {
	for len(list) > 0 {
		end := 0
		for end < len(list) && list[end] != ',' {
			end++
		}
		if option := trim(list[:end]); len(option) > 0 {
			yield(option)
		}
		if end == len(list) {
			return
		}
		list = list[end+1:]
	}
}

// trim removes spaces and tabs on both sides.
func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
