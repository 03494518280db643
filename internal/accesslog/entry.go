package accesslog

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendEntry appends the entry of an exchange as VPC Lattice writes it
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html): one JSON object without a line end. The
// order of its fields is that of captured entries; what is not known is "-".
func AppendEntry(dst []byte, r *Record) []byte {
	e := entry{append(dst, '{')}
	caller, tls := r.Caller, r.TLS
	if caller == nil {
		caller = &Caller{}
	}
	if tls == nil {
		tls = &TLS{}
	}
	var networkARN, serviceARN, sourceVpcARN, sourceVpcID, targetGroupARN, destinationVpcID string
	if s := r.Service; s != nil {
		networkARN, serviceARN = s.NetworkARN, s.ARN
	}
	if r.SourceVpc != nil {
		sourceVpcARN, sourceVpcID = r.SourceVpc.VpcARN, r.SourceVpc.VpcID
	}
	if r.Forward != nil {
		targetGroupARN, destinationVpcID = r.Forward.TargetGroup.ARN, r.Forward.TargetGroup.VpcID
	}
	e.text("serviceNetworkArn", networkARN)
	e.text("resolvedUser", caller.ResolvedUser)
	e.text("listenerType", "")
	e.text("authDeniedReason", string(caller.Denied))
	e.text("targetGroupArn", targetGroupARN)
	e.text("sourceVpcArn", sourceVpcARN)
	e.text("destinationVpcId", destinationVpcID)
	e.address("sourceIpPort", r.Source)
	e.text("listenerId", "") // As in captures, which show no listener.
	e.address("targetIpPort", r.Target.Address)
	e.text("failureReason", string(r.Failure))
	e.text("serviceArn", serviceARN)
	e.text("sourceVpcId", sourceVpcID)
	e.key("startTime")
	e.b = append(e.b, '"')
	e.b = r.Start.UTC().AppendFormat(e.b, "2006-01-02T15:04:05Z")
	e.b = append(e.b, '"')
	e.bytes("requestMethod", r.Method)
	e.bytes("requestPath", r.Path)
	e.text("protocol", r.Protocol)
	if r.Status != 0 {
		e.number("responseCode", int64(r.Status))
	} else {
		e.text("responseCode", "") // Of a connection that is passed through.
	}
	if r.HasGRPCStatus {
		e.number("grpcResponseCode", int64(r.GRPCStatus))
	} else {
		e.text("grpcResponseCode", "")
	}
	e.number("bytesReceived", r.Received)
	e.number("bytesSent", r.Sent)
	e.millis("duration", r.Duration)
	e.bytes("userAgent", r.UserAgent)
	e.bytes("hostHeader", r.Host)
	e.text("serverNameIndication", tls.ServerName)
	e.millis("requestToTargetDuration", r.ToTarget)
	e.millis("responseFromTargetDuration", r.FromTarget)
	e.text("sslCipher", tls.Cipher)
	e.text("tlsVersion", tls.Version)
	e.bytes("requestId", r.RequestID)
	e.text("callerPrincipal", caller.Principal)
	e.text("callerPrincipalOrgID", caller.PrincipalOrgID)
	e.tags("callerPrincipalTags", caller.PrincipalTags)
	// Callers by IAM Roles Anywhere, which there is not here.
	e.text("callerX509SubjectCN", "")
	e.text("callerX509IssuerOU", "")
	e.text("callerX509SANNameCN", "")
	e.text("callerX509SANDNS", "")
	e.text("callerX509SANURI", "")
	return append(e.b, '}')
}

// entry is a JSON object that is being written, without what encoding/json allocates.
type entry struct{ b []byte }

func (e *entry) key(name string) {
	if e.b[len(e.b)-1] != '{' {
		e.b = append(e.b, ',')
	}
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *entry) text(name, value string) {
	e.key(name)
	if value == "" {
		value = "-"
	}
	e.b = appendText(e.b, value)
}

func (e *entry) bytes(name string, value []byte) {
	if len(value) == 0 {
		e.text(name, "")
		return
	}
	e.key(name)
	e.b = appendText(e.b, value)
}

func (e *entry) number(name string, value int64) {
	e.key(name)
	e.b = strconv.AppendInt(e.b, value, 10)
}

func (e *entry) millis(name string, d time.Duration) { e.number(name, d.Milliseconds()) }

func (e *entry) address(name string, address netip.AddrPort) {
	if !address.IsValid() {
		e.text(name, "")
		return
	}
	e.key(name)
	e.b = append(e.b, '"')
	e.b = netip.AddrPortFrom(address.Addr().Unmap(), address.Port()).AppendTo(e.b)
	e.b = append(e.b, '"')
}

func (e *entry) tags(name string, tags map[string]string) {
	if len(tags) == 0 {
		e.text(name, "")
		return
	}
	e.key(name)
	e.b = append(e.b, '{')
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if e.b[len(e.b)-1] != '{' {
			e.b = append(e.b, ',')
		}
		e.b = appendText(e.b, key)
		e.b = append(e.b, ':')
		e.b = appendText(e.b, tags[key])
	}
	e.b = append(e.b, '}')
}

// appendText appends a string of JSON. Clients choose what is in it: bytes that are not UTF-8 become U+FFFD.
func appendText[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := decodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var head [utf8.UTFMax]byte
	n := copy(head[:], s)
	return utf8.DecodeRune(head[:n])
}

// AppendDetails appends what readers of entries at AWS do not get, for whoever watches a node: names beside ids, the time to
// the millisecond, and what exactly was wrong. In place of the brace that closes the entry it makes a larger object of it.
func AppendDetails(dst []byte, r *Record) []byte {
	e := entry{dst}
	e.key("time")
	e.b = append(e.b, '"')
	e.b = r.Start.UTC().AppendFormat(e.b, "2006-01-02T15:04:05.000Z")
	e.b = append(e.b, '"')
	if s := r.Service; s != nil {
		e.text("service", s.Name)
		e.text("serviceId", s.ID)
		e.text("listener", s.ListenerID)
	}
	if r.Rule != nil {
		e.text("rule", r.Rule.ID)
	}
	if r.Forward != nil {
		e.text("targetGroup", r.Forward.TargetGroup.Name)
	}
	e.bytes("query", r.Query)
	e.key("microseconds")
	e.b = strconv.AppendInt(e.b, r.Duration.Microseconds(), 10)
	if r.Problem != nil {
		e.text("problem", r.Problem.Error())
	}
	return append(e.b, '}')
}
