// Package accesslog describes exchanges at their end: who asked for what, which target got the request, what came of it
// and how long it took. The proxy fills a Record in one place, internal/proxy/exchange/record.go; sinks read it.
//
// A Record holds what a VPC Lattice access log entry needs
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html), so a new sink needs no change in the
// proxy. An Entry is the part of it that is written, as AWS does; where it goes is the decision of package delivery.
package accesslog

import (
	"net/netip"
	"slices"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// Log takes records. Its methods are called on the data path: they must not block.
type Log interface {
	// Wants reports whether records of exchanges with a service are wanted. It is called once per exchange, before any
	// clock is read for the record. The service is nil if none has the name of the request's host.
	Wants(service *routing.Service) bool
	// Write is called at the end of an exchange whose record is wanted. The record, its bytes and its Caller are valid only
	// during the call, so Write must copy what it keeps of them. Everything else that it refers to never changes.
	Write(r *Record)
	// Failed is called like Write, and before it, at the end of each exchange that has failed, or whose response has a status of
	// 5xx, whether or not its record is wanted. Without that, ToTarget and FromTarget are not known.
	Failed(r *Record)
}

// Tracer takes the records of those exchanges, and connections to resources, that it samples. Its methods are called on the data
// path: they must not block.
type Tracer interface {
	// Samples reports whether an exchange must be traced. It depends on the header traceparent of its request; nil means that
	// there is none. It is called once per exchange, before any clock is read for the record.
	Samples(traceparent []byte) bool
	// Trace is called at the end of an exchange that is traced. It must copy what it keeps, as Log.Write must.
	Trace(r *Record)
	// TraceResource is Trace for a connection to a resource.
	TraceResource(r *ResourceRecord)
}

// ResourceLog takes records of connections to resources. Its methods are like those of Log; the subscriptions are those to the
// traffic of the resource.
type ResourceLog interface {
	WantsResource(subscriptions []*lattice.AccessLogSubscription) bool
	WriteResource(r *ResourceRecord, subscriptions []*lattice.AccessLogSubscription)
}

// Record is what is known about an exchange at its end.
type Record struct {
	// Start is when the head of the request was complete, and Duration the time from then until the response was sent.
	Start    time.Time
	Duration time.Duration
	// ToTarget is the time from Start until the request was on its way to the target, or 0 if an idle connection took it at
	// once. FromTarget is the time from then until the head of the response had come.
	ToTarget   time.Duration
	FromTarget time.Duration

	// Connection is the client's.
	*Connection
	// Target is where the target is. It is nil when none was chosen. Gateway is our end of the connection to the target; only
	// passed-through connections have it.
	Target  *routing.Place
	Gateway netip.AddrPort

	// Service is nil if no service has the host's name. Rule and Forward are nil when the exchange ended before one was
	// chosen. They lead to the service network, the listener and the target group.
	Service *routing.Service
	// SourceVpc is the VPC from which the request comes. It is nil if Service is.
	SourceVpc *routing.Source
	Rule      *routing.Rule
	Forward   *routing.Forward

	// Protocol is "HTTP/2", "HTTP/1.1" or "HTTP/1.0", or "TLS" for a connection to a TLS_PASSTHROUGH listener. For the latter,
	// of the fields below only the byte counts, the failure and the server name are set.
	Protocol string
	Method   []byte
	Path     []byte
	Query    []byte // with its question mark
	Host     []byte
	// UserAgent is the value of the header.
	UserAgent []byte
	RequestID []byte

	Status int
	// HasGRPCStatus reports whether GRPCStatus is known: the response is one of gRPC, whether the target or the proxy made it.
	HasGRPCStatus bool
	GRPCStatus    int
	// Received and Sent count the bytes of heads and bodies from and to the client.
	Received int64
	Sent     int64

	// TraceParent and TraceState are the values of these headers. They and the retries are known of exchanges that are traced.
	TraceParent []byte
	TraceState  []byte
	Retries     []Retry

	// Failure says why the exchange failed, and Problem what exactly was wrong, where that is known.
	Failure Failure
	Problem error

	// Caller is what authorization found out about the caller. It is nil where no auth policy applied.
	Caller *Caller
}

// Place returns where the target is, or the zero value if none was chosen.
func (r *Record) Place() routing.Place {
	if r.Target == nil {
		return routing.Place{}
	}
	return *r.Target
}

// Retry is an attempt to get a response from a target that failed and was followed by another one.
type Retry struct {
	// Ended is the time from the start of the exchange until the attempt had failed. The next one followed after Pause.
	Ended, Pause time.Duration
	Target       routing.Place
	// Failure and Problem are as in a Record that ends with such an attempt.
	Failure Failure
	Problem error
}

// ResourceRecord is what is known about a connection to a resource: for a ResourceLog once it has been made, or has failed, and for
// a Tracer at its end.
type ResourceRecord struct {
	Start time.Time
	// Duration, Received and Sent, which count the bytes from and to the client, and Failure are known at the end.
	Duration       time.Duration
	Received, Sent int64
	Failure        Failure
	// NetworkARN and AssociationID are empty if the client came by an endpoint that leads to the resource itself; EndpointID is
	// empty if it came through the association of its VPC with the network.
	NetworkARN    string
	AssociationID string
	EndpointID    string
	// SourceVpcARN is that of the VPC from which the client comes.
	SourceVpcARN string
	// ConfigurationARN and Name are those of the resource configuration.
	ConfigurationARN, Name string

	// Source is the client's end of its connection, and Destination the address that it knows for the resource. Gateway is our
	// end of the connection to the resource, and Resource the other one; both are the zero value if there is none.
	Source      netip.AddrPort
	Destination netip.AddrPort
	Gateway     netip.AddrPort
	Resource    netip.AddrPort

	// Problem is what was wrong, if the connection could not be made.
	Problem error
}

// Connection is what is known about a client's connection. It does not change once an exchange has begun on it.
type Connection struct {
	// Source is the client's end, Destination ours.
	Source, Destination netip.AddrPort
	// TLS is nil when the client does not use TLS.
	TLS *TLS
}

// TLS describes a client's TLS connection, in the words of the access log.
type TLS struct {
	// ServerName is the name that the client asked for.
	ServerName string
	// Version is "TLSv1.2" or "TLSv1.3", and Cipher OpenSSL's name of the cipher suite. Both are empty on TLS_PASSTHROUGH
	// listeners, which cannot see them.
	Version string
	Cipher  string
}

// Caller is who made a request, as authorization sees it.
type Caller struct {
	// ResolvedUser is the caller's ARN, "Anonymous" for an unsigned request, or "Unknown" when authentication failed.
	ResolvedUser string
	// Principal is the authenticated principal, empty if there is none.
	Principal      string
	PrincipalOrgID string
	PrincipalTags  map[string]string
	// Denied names the policy that denied the request. It is empty when none did.
	Denied Denial
}

// Denial names the kind of policy that denied a request, as the access log's authDeniedReason does.
type Denial string

// The kinds of policies.
const (
	DeniedByNetwork  Denial = "Network"
	DeniedByService  Denial = "Service"
	DeniedByIdentity Denial = "Identity"
)

// Failure says why an exchange failed, as the access log's failureReason does. It is empty for one that did not fail.
type Failure string

// The failures.
const (
	TargetConnectionError      Failure = "TargetConnectionError"
	TargetProtocolError        Failure = "TargetProtocolError"
	TargetDataTimeout          Failure = "TargetDataTimeout"
	TargetConnectionClosed     Failure = "TargetConnectionClosed"
	ClientConnectionClosed     Failure = "ClientConnectionClosed"
	ClientProtocolError        Failure = "ClientProtocolError"
	ClientAccessDenied         Failure = "ClientAccessDenied"
	ConnectionDurationExceeded Failure = "ConnectionDurationExceeded"
	InternalError              Failure = "InternalError"
)

// OfClient reports whether a failure is the client's doing, or nobody's, so that the operator need not act.
func (f Failure) OfClient() bool {
	switch f {
	case ClientConnectionClosed, ClientProtocolError, ClientAccessDenied, ConnectionDurationExceeded:
		return true
	}
	return false
}

// The failures of functions. The names are those that AWS gives to them for Application Load Balancers, where it has any
// (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html; A-536).
const (
	LambdaUnhandled        Failure = "LambdaUnhandled"
	LambdaInitError        Failure = "LambdaInitError"
	LambdaTimeout          Failure = "LambdaTimeout"
	LambdaTooManyRequests  Failure = "LambdaTooManyRequests"
	LambdaInvalidResponse  Failure = "LambdaInvalidResponse"
	LambdaInvalidBody      Failure = "LambdaInvalidBody"
	LambdaResponseTooLarge Failure = "LambdaResponseTooLarge"
	LambdaRequestTooLarge  Failure = "LambdaRequestTooLarge"
	LambdaConnectionError  Failure = "LambdaConnectionError"
	LambdaNotFound         Failure = "LambdaNotFound"
)

// Failures are all of them. The first is none.
var Failures = [...]Failure{
	"", TargetConnectionError, TargetProtocolError, TargetDataTimeout, TargetConnectionClosed, ClientConnectionClosed,
	ClientProtocolError, ClientAccessDenied, ConnectionDurationExceeded, InternalError, LambdaUnhandled, LambdaInitError,
	LambdaTimeout, LambdaTooManyRequests, LambdaInvalidResponse, LambdaInvalidBody, LambdaResponseTooLarge,
	LambdaRequestTooLarge, LambdaConnectionError, LambdaNotFound,
}

// Number returns where the failure stands among Failures.
func (f Failure) Number() int { return max(slices.Index(Failures[:], f), 0) }
