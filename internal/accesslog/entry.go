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
	e := entry{dst}
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
	e.known(`{"serviceNetworkArn":"`, networkARN)
	e.text(`,"resolvedUser":"`, caller.ResolvedUser)
	e.known(`,"listenerType":"-","authDeniedReason":"`, string(caller.Denied)) // Captures show no listener.
	e.known(`,"targetGroupArn":"`, targetGroupARN)
	e.known(`,"sourceVpcArn":"`, sourceVpcARN)
	e.known(`,"destinationVpcId":"`, destinationVpcID)
	e.address(`,"sourceIpPort":"`, r.Source)
	e.address(`,"listenerId":"-","targetIpPort":"`, r.Target.Address)
	e.known(`,"failureReason":"`, string(r.Failure))
	e.known(`,"serviceArn":"`, serviceARN)
	e.known(`,"sourceVpcId":"`, sourceVpcID)
	e.time(`,"startTime":"`, r.Start, false)
	e.bytes(`,"requestMethod":"`, r.Method)
	e.bytes(`,"requestPath":"`, r.Path)
	e.known(`,"protocol":"`, r.Protocol)
	if r.Status != 0 {
		e.number(`,"responseCode":`, int64(r.Status))
	} else {
		e.raw(`,"responseCode":"-"`) // Of a connection that is passed through.
	}
	if r.HasGRPCStatus {
		e.number(`,"grpcResponseCode":`, int64(r.GRPCStatus))
	} else {
		e.raw(`,"grpcResponseCode":"-"`)
	}
	e.number(`,"bytesReceived":`, r.Received)
	e.number(`,"bytesSent":`, r.Sent)
	e.number(`,"duration":`, r.Duration.Milliseconds())
	e.bytes(`,"userAgent":"`, r.UserAgent)
	e.bytes(`,"hostHeader":"`, r.Host)
	e.text(`,"serverNameIndication":"`, tls.ServerName)
	e.number(`,"requestToTargetDuration":`, r.ToTarget.Milliseconds())
	e.number(`,"responseFromTargetDuration":`, r.FromTarget.Milliseconds())
	e.known(`,"sslCipher":"`, tls.Cipher)
	e.known(`,"tlsVersion":"`, tls.Version)
	e.bytes(`,"requestId":"`, r.RequestID)
	e.text(`,"callerPrincipal":"`, caller.Principal)
	e.text(`,"callerPrincipalOrgID":"`, caller.PrincipalOrgID)
	e.tags(`,"callerPrincipalTags":`, caller.PrincipalTags)
	// Of callers by IAM Roles Anywhere, which there is not here.
	e.raw(`,"callerX509SubjectCN":"-","callerX509IssuerOU":"-","callerX509SANNameCN":"-","callerX509SANDNS":"-","callerX509SANURI":"-"}`)
	return e.b
}

// AppendResourceEntry appends the entry of a connection to a resource as VPC Lattice writes it, like AppendEntry. The order of
// its fields is that of the documentation; the protocol is always TCP.
func AppendResourceEntry(dst []byte, r *ResourceRecord) []byte {
	e := entry{dst}
	e.time(`{"eventTimestamp":"`, r.Start, true)
	e.known(`,"serviceNetworkArn":"`, r.NetworkARN)
	e.known(`,"serviceNetworkResourceAssociationId":"`, r.AssociationID)
	e.known(`,"vpcEndpointId":"`, r.EndpointID)
	e.known(`,"sourceVpcArn":"`, r.SourceVpcARN)
	e.known(`,"resourceConfigurationArn":"`, r.ConfigurationARN)
	e.address(`,"protocol":"tcp","sourceIpPort":"`, r.Source)
	e.address(`,"destinationIpPort":"`, r.Destination)
	e.address(`,"gatewayIpPort":"`, r.Gateway)
	e.address(`,"resourceIpPort":"`, r.Resource)
	e.raw("}")
	return e.b
}

// entry is a JSON object that is being written, without what encoding/json allocates. Its methods append a member. They get its
// name with everything that stands before the value. A value that is not known is "-".
type entry struct{ b []byte }

func (e *entry) raw(text string) { e.b = append(e.b, text...) }

// known appends one of our own texts, such as an id, in which nothing has to be escaped.
func (e *entry) known(name, value string) {
	if value == "" {
		value = "-"
	}
	e.b = append(append(append(e.b, name...), value...), '"')
}

// text appends what somebody else has chosen.
func (e *entry) text(name, value string) {
	if value == "" {
		value = "-"
	}
	e.b = append(appendText(append(e.b, name...), value), '"')
}

func (e *entry) bytes(name string, value []byte) {
	if len(value) == 0 {
		e.known(name, "")
		return
	}
	e.b = append(appendText(append(e.b, name...), value), '"')
}

func (e *entry) number(name string, value int64) {
	e.b = strconv.AppendInt(append(e.b, name...), value, 10)
}

// time appends a time to the second, or to the millisecond. time.AppendFormat takes ten times as long.
func (e *entry) time(name string, at time.Time, milliseconds bool) {
	at = at.UTC()
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	b := append(e.b, name...)
	b = appendDigits(appendDigits(b, year/100), year%100)
	b = appendDigits(append(b, '-'), int(month))
	b = appendDigits(append(b, '-'), day)
	b = appendDigits(append(b, 'T'), hour)
	b = appendDigits(append(b, ':'), minute)
	b = appendDigits(append(b, ':'), second)
	if milliseconds {
		thousandths := at.Nanosecond() / 1e6
		b = appendDigits(append(b, '.', byte('0'+thousandths/100)), thousandths%100)
	}
	e.b = append(b, 'Z', '"')
}

// appendDigits appends a number of two digits.
func appendDigits(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

func (e *entry) address(name string, address netip.AddrPort) {
	if !address.IsValid() {
		e.known(name, "")
		return
	}
	e.b = netip.AddrPortFrom(address.Addr().Unmap(), address.Port()).AppendTo(append(e.b, name...))
	e.b = append(e.b, '"')
}

func (e *entry) tags(name string, tags map[string]string) {
	e.raw(name)
	if len(tags) == 0 {
		e.raw(`"-"`)
		return
	}
	before := byte('{')
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		e.b = append(appendText(append(e.b, before, '"'), key), `":"`...)
		e.b = append(appendText(e.b, tags[key]), '"')
		before = ','
	}
	e.raw("}")
}

// appendText appends the inside of a string of JSON. Clients choose what is in it: bytes that are not UTF-8 become U+FFFD.
func appendText[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	from := 0 // of what has not been appended and stands for itself
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < utf8.RuneSelf:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			r, size := decodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size - 1
		}
		i++
		from = i
	}
	return append(dst, s[from:]...)
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var head [utf8.UTFMax]byte
	n := copy(head[:], s)
	return utf8.DecodeRune(head[:n])
}

// AppendDetails appends what readers of entries at AWS do not get, for those who watch a node: names beside ids, the time to the
// millisecond, and what exactly was wrong. It replaces the brace that closes the entry.
func AppendDetails(dst []byte, r *Record) []byte {
	e := entry{dst}
	e.time(`,"time":"`, r.Start, true)
	if s := r.Service; s != nil {
		e.text(`,"service":"`, s.Name)
		e.known(`,"serviceId":"`, s.ID)
		e.known(`,"listener":"`, s.ListenerID)
	}
	if r.Rule != nil {
		e.known(`,"rule":"`, r.Rule.ID)
	}
	if r.Forward != nil {
		e.text(`,"targetGroup":"`, r.Forward.TargetGroup.Name)
	}
	if r.Target.Function != "" {
		e.known(`,"function":"`, r.Target.FunctionName())
	}
	e.bytes(`,"query":"`, r.Query)
	e.number(`,"microseconds":`, r.Duration.Microseconds())
	if r.Problem != nil {
		e.text(`,"problem":"`, r.Problem.Error())
	}
	e.raw("}")
	return e.b
}

// AppendResourceDetails is AppendDetails for a connection to a resource.
func AppendResourceDetails(dst []byte, r *ResourceRecord) []byte {
	e := entry{dst}
	e.time(`,"time":"`, r.Start, true)
	e.text(`,"resource":"`, r.Name)
	if r.Problem != nil {
		e.text(`,"problem":"`, r.Problem.Error())
	}
	e.raw("}")
	return e.b
}

// AppendOutput appends a line that a function has written during an event, in the form for those who watch a node.
func AppendOutput(dst []byte, at time.Time, function, requestID, line string) []byte {
	e := entry{dst}
	e.time(`{"time":"`, at, true)
	e.known(`,"function":"`, function)
	e.text(`,"requestId":"`, requestID)
	e.text(`,"output":"`, line)
	e.raw("}")
	return e.b
}
