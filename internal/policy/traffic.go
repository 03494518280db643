package policy

import (
	"net/netip"
	"strings"
)

// The actions of requests through the network.
const (
	// ActionInvoke is the action of an HTTP request. Its resource is the ARN of the service and the path.
	ActionInvoke = trafficPrefix + "Invoke"
	// ActionConnect is the action of a connection that is passed through. Its resource is the ARN of the service.
	ActionConnect = trafficPrefix + "Connect"
)

// Traffic are the values of a request through the network. It is used by one goroutine at a time. To use it for another
// request, assign a new value to it.
type Traffic struct {
	// Method, Query (without the question mark) and Headers are those of an HTTP request, and empty for a connection that
	// is passed through.
	Method, Query string
	Headers       Headers
	// Path is the path as received, without the query. It is not decoded, just as rules match it.
	Path string
	// Port is the listener's.
	Port                   string
	ServiceARN, NetworkARN string
	// Source is the client's address, if it is known.
	Source netip.Addr
	// SourceVpc and SourceVpcOwner are the id and the account of the VPC that the request comes from, if it is known.
	SourceVpc, SourceVpcOwner string
	// Region is the service's.
	Region string
	// Secure reports that the client speaks TLS.
	Secure bool
	// Tags are the service's.
	Tags map[string]string
	// Memory is for values that are derived from these. If it is nil, it is allocated when it is needed.
	Memory *TrafficMemory
}

// TrafficMemory holds values in another form than that of the request. It is too large to be allocated for each request, so
// requests use it one after another.
type TrafficMemory struct {
	// decoded holds the parameters that had to be decoded, each once.
	decoded []decodedValue
	room    [4]decodedValue
	bytes   [128]byte
	used    int
	source  [40]byte
}

// Reset forgets all values.
func (m *TrafficMemory) Reset() { m.decoded, m.used = nil, 0 }

func (t *Traffic) memory() *TrafficMemory {
	if t.Memory == nil {
		t.Memory = new(TrafficMemory)
	}
	return t.Memory
}

// address returns the client's address as conditions compare it. ok is false if it is not known.
func (t *Traffic) address() (address netip.Addr, ok bool) {
	return t.Source.Unmap().WithZone(""), t.Source.IsValid()
}

// decodedValue is what the text at a position of the query stands for.
type decodedValue struct {
	at   int
	text string
}

// Headers is a lookup in the header lines of a request.
type Headers interface {
	// Header returns the value of the first line of that name (which is in lower case) at or after the position from,
	// and the position after it, or a negative one if there is no such line.
	Header(name string, from int) (value []byte, next int)
}

// Value implements Values.
func (t *Traffic) Value(key *Key, from int) (string, int) {
	switch key.id {
	case idPort:
		return One(t.Port, from)
	case idRequestMethod:
		return One(t.Method, from)
	case idRequestPath:
		return One(t.Path, from)
	case idRequestHeader:
		return t.header(key.Part, from)
	case idRequestQueryString:
		return t.parameter(key.Part, from)
	case idServiceARN:
		return One(t.ServiceARN, from)
	case idServiceNetworkARN:
		return One(t.NetworkARN, from)
	case idSourceVpc:
		return One(t.SourceVpc, from)
	case idSourceVpcOwnerAccount:
		return One(t.SourceVpcOwner, from)
	case idSourceIP:
		address, ok := t.address()
		if !ok {
			return "", None
		}
		return One(View(address.AppendTo(t.memory().source[:0])), from)
	case idSecureTransport:
		if t.Secure {
			return One("true", from)
		}
		return One("false", from)
	case idRequestedRegion:
		return One(t.Region, from)
	case idResourceTag:
		return Tag(t.Tags, key.Part, from)
	case idUserAgent:
		return t.header("user-agent", from)
	case idReferer:
		return t.header("referer", from)
	}
	return "", None
}

// header returns the value of a header line. Each line is a value of its own.
func (t *Traffic) header(name string, from int) (string, int) {
	if t.Headers == nil {
		return "", None
	}
	value, next := t.Headers.Header(name, from)
	if next < 0 {
		return "", None
	}
	return View(value), next
}

// parameter returns the value of a query parameter. Names and values are decoded, so that nobody evades a policy by writing
// them in another way. Positions are those in the query, plus one.
func (t *Traffic) parameter(name string, from int) (string, int) {
	if from == 0 {
		from = 1
	}
	for at := from - 1; at < len(t.Query); {
		pair, _, _ := strings.Cut(t.Query[at:], "&")
		at += len(pair) + 1
		key, value, _ := strings.Cut(pair, "=")
		if isEncoded(name, key) {
			return t.decode(value, at), at + 1
		}
	}
	return "", None
}

// isEncoded reports whether a text of a query stands for a name.
func isEncoded(name, encoded string) bool {
	i := 0
	for encoded != "" {
		c, size := decodeByte(encoded)
		if i >= len(name) || name[i] != c {
			return false
		}
		i++
		encoded = encoded[size:]
	}
	return i == len(name)
}

// decode returns what a text of a query, which ends before a position, stands for.
func (t *Traffic) decode(encoded string, at int) string {
	if !strings.ContainsAny(encoded, "%+") {
		return encoded
	}
	m := t.memory()
	for _, d := range m.decoded {
		if d.at == at {
			return d.text
		}
	}
	if m.decoded == nil {
		m.decoded = m.room[:0]
	}
	// Long texts are rare, and get their own memory.
	decoded := m.bytes[m.used:m.used]
	for rest := encoded; rest != ""; {
		c, size := decodeByte(rest)
		decoded = append(decoded, c)
		rest = rest[size:]
	}
	m.used = min(m.used+len(decoded), len(m.bytes))
	m.decoded = append(m.decoded, decodedValue{at, View(decoded)})
	return View(decoded)
}

// decodeByte returns the first byte that a text of a query stands for, and how many bytes of the text encode it. A percent
// sign without two digits is literal.
func decodeByte(encoded string) (c byte, size int) {
	switch encoded[0] {
	case '+':
		return ' ', 1
	case '%':
		if len(encoded) >= 3 {
			high, low := hexadecimal(encoded[1]), hexadecimal(encoded[2])
			if high < 16 && low < 16 {
				return high<<4 | low, 3
			}
		}
	}
	return encoded[0], 1
}

// hexadecimal returns what a digit stands for, or 16.
func hexadecimal(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}
