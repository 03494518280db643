package accesslog

import (
	"bytes"
	"net/netip"
	"time"

	"trellis/internal/routing"
)

// Entry is what the access log says about an exchange. It keeps the values of a Record in little memory until they are written
// as text.
type Entry struct {
	text                           []byte // method, path, user agent, host and id of the request, one after another
	ends                           [numTexts]int32
	status, grpcStatus             int32
	isGRPC                         bool
	start                          int64 // seconds since 1970
	duration, toTarget, fromTarget int64 // milliseconds
	received, sent                 int64
	service                        *routing.Service
	vpc                            *routing.Source
	group                          *routing.TargetGroup
	tls                            *TLS
	caller                         *Caller
	failure                        Failure
	protocol                       string
	source, target                 netip.AddrPort
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

// Take makes e the entry of an exchange.
func (e *Entry) Take(r *Record, room *Room) {
	*e = Entry{
		status: int32(r.Status), grpcStatus: int32(r.GRPCStatus), isGRPC: r.HasGRPCStatus,
		start: r.Start.Unix(), duration: r.Duration.Milliseconds(), toTarget: r.ToTarget.Milliseconds(), fromTarget: r.FromTarget.Milliseconds(),
		received: r.Received, sent: r.Sent,
		service: r.Service, vpc: r.SourceVpc, tls: r.TLS,
		failure: r.Failure, protocol: r.Protocol, source: r.Source, target: r.Target.Address,
	}
	if r.Forward != nil {
		e.group = r.Forward.TargetGroup
	}
	if r.Caller != nil {
		room.Callers = append(room.Callers, *r.Caller)
		e.caller = &room.Callers[len(room.Callers)-1]
	}
	from, text := len(room.Text), room.Text
	text = append(text, r.Method...)
	e.ends[textMethod] = int32(len(text) - from)
	text = append(text, r.Path...)
	e.ends[textPath] = int32(len(text) - from)
	text = append(text, r.UserAgent...)
	e.ends[textAgent] = int32(len(text) - from)
	text = append(text, r.Host...)
	e.ends[textHost] = int32(len(text) - from)
	text = append(text, r.RequestID...)
	e.ends[textRequestID] = int32(len(text) - from)
	room.Text, e.text = text, text[from:]
}

func (e *Entry) textOf(which int) []byte {
	if which == 0 {
		return e.text[:e.ends[0]]
	}
	return e.text[e.ends[which-1]:e.ends[which]]
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
	service, vpc, group, caller, tls := e.service != o.service, e.vpc != o.vpc, e.group != o.group, !e.caller.equal(o.caller), !e.tls.equal(o.tls)
	return bit(service, partNetwork) | bit(caller, partUser) | bit(group, partGroup) | bit(vpc, partSourceVpc) | bit(group, partDestinationVpc) |
		bit(e.source.Addr() != o.source.Addr(), partSource) | bit(e.source != o.source, partSourcePort) |
		bit(e.target.Addr() != o.target.Addr(), partTarget) | bit(e.target != o.target, partTargetPort) | bit(e.failure != o.failure, partFailure) |
		bit(service, partService) | bit(vpc, partSourceVpcID) | bit(e.start != o.start, partStart) |
		bit(e.differsIn(o, textMethod), partMethod) | bit(e.differsIn(o, textPath), partPath) | bit(e.protocol != o.protocol, partProtocol) |
		bit(e.status != o.status, partStatus) | bit(e.isGRPC != o.isGRPC || e.grpcStatus != o.grpcStatus, partGRPCStatus) |
		bit(e.received != o.received, partReceived) | bit(e.sent != o.sent, partSent) | bit(e.duration != o.duration, partDuration) |
		bit(e.differsIn(o, textAgent), partAgent) | bit(e.differsIn(o, textHost), partHost) | bit(tls, partServerName) |
		bit(e.toTarget != o.toTarget, partToTarget) | bit(e.fromTarget != o.fromTarget, partFromTarget) | bit(tls, partTLS) |
		bit(e.differsIn(o, textRequestID), partRequestID) | bit(caller, partCaller)
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
		o.host(`,"sourceIpPort":"`, e.source)
	case partSourcePort:
		o.port(e.source)
	case partTarget:
		o.host(`,"listenerId":"-","targetIpPort":"`, e.target)
	case partTargetPort:
		o.port(e.target)
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
		o.text(`,"serverNameIndication":"`, member(e.tls, func(t *TLS) string { return t.ServerName }))
	case partToTarget:
		o.number(`,"requestToTargetDuration":`, e.toTarget)
	case partFromTarget:
		o.number(`,"responseFromTargetDuration":`, e.fromTarget)
	case partTLS:
		o.known(`,"sslCipher":"`, member(e.tls, func(t *TLS) string { return t.Cipher }))
		o.known(`,"tlsVersion":"`, member(e.tls, func(t *TLS) string { return t.Version }))
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

// member returns a member of what an entry refers to, or "" if the entry does not refer to it.
func member[T any](of *T, get func(*T) string) string {
	if of == nil {
		return ""
	}
	return get(of)
}
