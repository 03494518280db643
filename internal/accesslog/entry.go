package accesslog

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// Entry is what the access log says about an exchange. It keeps the values of a Record in little memory until they are written
// as text: what it costs to bring it to another place is most of the cost of taking it.
type Entry struct {
	text                           []byte              // method, path, user agent, host and id of the request, one after another
	ends                           [numTexts - 1]int32 // where each ends; the last one ends with the text
	status, grpcStatus             int32
	isGRPC                         bool
	start                          int64 // seconds since 1970
	duration, toTarget, fromTarget int64 // milliseconds
	received, sent                 int64
	connection                     *Connection
	service                        *routing.Service
	vpc                            *routing.Source
	group                          *routing.TargetGroup
	target                         *routing.Place
	caller                         *Caller
	failure                        Failure
	protocol                       string
}

// The texts of an entry, in the order in which they stand.
const (
	textMethod = iota
	textPath
	textAgent
	textHost
	textRequestID
	numTexts
)

// Room is memory for what entries refer to. Entries are valid until it is reset.
type Room struct {
	Text    []byte
	Callers []Caller
}

// Reset makes room again.
func (room *Room) Reset() {
	clear(room.Callers) // Entries must not keep the memory that callers refer to.
	room.Text, room.Callers = room.Text[:0], room.Callers[:0]
}

// keep copies a caller. It is no part of Take, most of whose calls do not need it: short code stays in the processor's cache.
//
//go:noinline
func (room *Room) keep(caller *Caller) *Caller {
	room.Callers = append(room.Callers, *caller)
	return &room.Callers[len(room.Callers)-1]
}

// grow makes room for n more bytes of text. It is no part of Take, as keep is not.
//
//go:noinline
func (room *Room) grow(n int) { room.Text = slices.Grow(room.Text, n) }

// Take makes e the entry of an exchange.
func (e *Entry) Take(r *Record, room *Room) {
	e.status, e.grpcStatus, e.isGRPC = int32(r.Status), int32(r.GRPCStatus), r.HasGRPCStatus
	e.start, e.duration, e.toTarget, e.fromTarget = r.Start.Unix(), r.Duration.Milliseconds(), r.ToTarget.Milliseconds(), r.FromTarget.Milliseconds()
	e.received, e.sent = r.Received, r.Sent
	e.connection, e.service, e.vpc, e.target = r.Connection, r.Service, r.SourceVpc, r.Target
	e.failure, e.protocol = r.Failure, r.Protocol
	e.group, e.caller = nil, nil
	if r.Forward != nil {
		e.group = r.Forward.TargetGroup
	}
	if r.Caller != nil {
		e.caller = room.keep(r.Caller)
	}
	from, n := len(room.Text), len(r.Method)+len(r.Path)+len(r.UserAgent)+len(r.Host)+len(r.RequestID)
	if cap(room.Text)-from < n {
		room.grow(n)
	}
	room.Text = room.Text[:from+n]
	e.text, n = room.Text[from:], 0
	for i, text := range [...][]byte{textMethod: r.Method, textPath: r.Path, textAgent: r.UserAgent, textHost: r.Host} {
		n += copy(e.text[n:], text)
		e.ends[i] = int32(n)
	}
	copy(e.text[n:], r.RequestID)
}

// AccessLogs returns the subscriptions to the exchanges of the service. The slice must not be changed.
func (e *Entry) AccessLogs() []*lattice.AccessLogSubscription {
	return e.service.AccessLogs()
}

func (e *Entry) textOf(which int) []byte {
	from, end := int32(0), int32(len(e.text))
	if which > 0 {
		from = e.ends[which-1]
	}
	if which < len(e.ends) {
		end = e.ends[which]
	}
	return e.text[from:end]
}

// The parts of an entry, in their order: members that change together.
const (
	partNetwork = iota
	partUser
	partGroup
	partSourceVpc
	partDestinationVpc
	partSource
	partSourcePort
	partTarget
	partTargetPort
	partFailure
	partService
	partSourceVpcID
	partStart
	partMethod
	partPath
	partProtocol
	partStatus
	partGRPCStatus
	partReceived
	partSent
	partDuration
	partAgent
	partHost
	partServerName
	partToTarget
	partFromTarget
	partTLS
	partRequestID
	partCaller
	numParts
)

// differs returns the parts that are not those of another entry, as bits.
func (e *Entry) differs(o *Entry) uint32 {
	service, vpc, group, caller := e.service != o.service, e.vpc != o.vpc, e.group != o.group, !e.caller.equal(o.caller)
	parts := bit(service, partNetwork) | bit(caller, partUser) | bit(group, partGroup) | bit(vpc, partSourceVpc) | bit(group, partDestinationVpc) |
		bit(e.failure != o.failure, partFailure) | bit(service, partService) | bit(vpc, partSourceVpcID) | bit(e.start != o.start, partStart) |
		bit(e.protocol != o.protocol, partProtocol) | bit(e.status != o.status, partStatus) |
		bit(e.isGRPC != o.isGRPC || e.grpcStatus != o.grpcStatus, partGRPCStatus) | bit(e.received != o.received, partReceived) |
		bit(e.sent != o.sent, partSent) | bit(e.duration != o.duration, partDuration) | bit(e.toTarget != o.toTarget, partToTarget) |
		bit(e.fromTarget != o.fromTarget, partFromTarget) | bit(caller, partCaller)
	if e.connection != o.connection {
		source, other, tls := e.source(), o.source(), !e.tls().equal(o.tls())
		parts |= bit(source.Addr() != other.Addr(), partSource) | bit(source != other, partSourcePort) | bit(tls, partServerName) | bit(tls, partTLS)
	}
	if e.target != o.target {
		target, other := e.address(), o.address()
		parts |= bit(target.Addr() != other.Addr(), partTarget) | bit(target != other, partTargetPort)
	}
	// Clients ask for the same again and again; only the id of a request, which comes last, is always another.
	if shared := e.ends[textHost]; e.ends != o.ends || !bytes.Equal(e.text[:shared], o.text[:shared]) {
		parts |= bit(e.differsIn(o, textMethod), partMethod) | bit(e.differsIn(o, textPath), partPath) |
			bit(e.differsIn(o, textAgent), partAgent) | bit(e.differsIn(o, textHost), partHost)
	}
	return parts | bit(e.differsIn(o, textRequestID), partRequestID)
}

func (e *Entry) differsIn(o *Entry, which int) bool {
	return !bytes.Equal(e.textOf(which), o.textOf(which))
}

func bit(is bool, n uint) uint32 {
	if is {
		return 1 << n
	}
	return 0
}

// source returns the client's end of its connection, and address the target's, or the zero value if it is not known.
func (e *Entry) source() netip.AddrPort {
	return member(e.connection, func(c *Connection) netip.AddrPort { return c.Source })
}

func (e *Entry) address() netip.AddrPort {
	return member(e.target, func(at *routing.Place) netip.AddrPort { return at.Address })
}

// tls returns what is known about the client's TLS, or nil.
func (e *Entry) tls() *TLS {
	return member(e.connection, func(c *Connection) *TLS { return c.TLS })
}

// equal reports whether callers are the same. Callers with tags never are: comparing tags takes longer than writing them.
func (c *Caller) equal(o *Caller) bool {
	if c == nil || o == nil {
		return c == o
	}
	return c.ResolvedUser == o.ResolvedUser && c.Principal == o.Principal && c.PrincipalOrgID == o.PrincipalOrgID && c.Denied == o.Denied &&
		len(c.PrincipalTags) == 0 && len(o.PrincipalTags) == 0
}

func (t *TLS) equal(o *TLS) bool { return t == o || t != nil && o != nil && *t == *o }

// Append appends the entry as VPC Lattice writes it
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html): one JSON object without a line end. The
// order of its fields is that of captured entries; what is not known is "-".
func (e *Entry) Append(dst []byte) []byte {
	for part := range numParts {
		dst = e.appendPart(dst, part)
	}
	return dst
}

// appendPart appends one of the parts. A value that is not known is "-".
func (e *Entry) appendPart(dst []byte, part int) []byte {
	o := object{dst}
	switch part {
	case partNetwork:
		o.known(`{"serviceNetworkArn":"`, member(e.service, func(s *routing.Service) string { return s.NetworkARN }))
	case partUser:
		var caller Caller
		if e.caller != nil {
			caller = *e.caller
		}
		o.text(`,"resolvedUser":"`, caller.ResolvedUser)
		o.known(`,"listenerType":"-","authDeniedReason":"`, string(caller.Denied)) // Captures show no listener.
	case partGroup:
		o.known(`,"targetGroupArn":"`, member(e.group, func(g *routing.TargetGroup) string { return g.ARN }))
	case partSourceVpc:
		o.known(`,"sourceVpcArn":"`, member(e.vpc, func(v *routing.Source) string { return v.VpcARN }))
	case partDestinationVpc:
		o.known(`,"destinationVpcId":"`, member(e.group, func(g *routing.TargetGroup) string { return g.VpcID }))
	case partSource:
		o.host(`,"sourceIpPort":"`, e.source())
	case partSourcePort:
		o.port(e.source())
	case partTarget:
		o.host(`,"listenerId":"-","targetIpPort":"`, e.address())
	case partTargetPort:
		o.port(e.address())
	case partFailure:
		o.known(`,"failureReason":"`, string(e.failure))
	case partService:
		o.known(`,"serviceArn":"`, member(e.service, func(s *routing.Service) string { return s.ARN }))
	case partSourceVpcID:
		o.known(`,"sourceVpcId":"`, member(e.vpc, func(v *routing.Source) string { return v.VpcID }))
	case partStart:
		o.time(`,"startTime":"`, time.Unix(e.start, 0), false)
	case partMethod:
		o.bytes(`,"requestMethod":"`, e.textOf(textMethod))
	case partPath:
		o.bytes(`,"requestPath":"`, e.textOf(textPath))
	case partProtocol:
		o.known(`,"protocol":"`, e.protocol)
	case partStatus:
		o.numberIf(e.status != 0, `,"responseCode":`, int64(e.status)) // A connection that is passed through has no request.
	case partGRPCStatus:
		o.numberIf(e.isGRPC, `,"grpcResponseCode":`, int64(e.grpcStatus))
	case partReceived:
		o.number(`,"bytesReceived":`, e.received)
	case partSent:
		o.number(`,"bytesSent":`, e.sent)
	case partDuration:
		o.number(`,"duration":`, e.duration)
	case partAgent:
		o.bytes(`,"userAgent":"`, e.textOf(textAgent))
	case partHost:
		o.bytes(`,"hostHeader":"`, e.textOf(textHost))
	case partServerName:
		o.text(`,"serverNameIndication":"`, member(e.tls(), func(t *TLS) string { return t.ServerName }))
	case partToTarget:
		o.number(`,"requestToTargetDuration":`, e.toTarget)
	case partFromTarget:
		o.number(`,"responseFromTargetDuration":`, e.fromTarget)
	case partTLS:
		o.known(`,"sslCipher":"`, member(e.tls(), func(t *TLS) string { return t.Cipher }))
		o.known(`,"tlsVersion":"`, member(e.tls(), func(t *TLS) string { return t.Version }))
	case partRequestID:
		o.bytes(`,"requestId":"`, e.textOf(textRequestID))
	case partCaller:
		var caller Caller
		if e.caller != nil {
			caller = *e.caller
		}
		o.text(`,"callerPrincipal":"`, caller.Principal)
		o.text(`,"callerPrincipalOrgID":"`, caller.PrincipalOrgID)
		o.tags(`,"callerPrincipalTags":`, caller.PrincipalTags)
		// Only callers by IAM Roles Anywhere have these; Trellis does not have it.
		o.raw(`,"callerX509SubjectCN":"-","callerX509IssuerOU":"-","callerX509SANNameCN":"-","callerX509SANDNS":"-","callerX509SANURI":"-"}`)
	}
	return o.b
}

// member returns a member of what an entry refers to, or the zero value if the entry does not refer to it.
func member[T, V any](of *T, get func(*T) V) (value V) {
	if of == nil {
		return value
	}
	return get(of)
}
