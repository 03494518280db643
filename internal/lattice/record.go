// Package lattice holds the nouns of the application network: the records that are stored, their ids, ARNs,
// indexes and claims, their defaults, and the rules and state machines that need nothing but a record and the
// time. It does no I/O. Both the control plane (which writes records) and the data plane (which is compiled
// from them) use it.
//
// Invariant: a record is never changed once it has been handed to the catalog. An update stores a changed copy.
package lattice

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Kind names a kind of record. It is also the word that stands before the id in the resource's ARN.
type Kind string

// The kinds of records.
const (
	KindAccessLogSubscription             Kind = "accesslogsubscription"
	KindAuthPolicy                        Kind = "authpolicy"
	KindDetachedEndpoint                  Kind = "detachedendpoint"
	KindDomainVerification                Kind = "domainverification"
	KindListener                          Kind = "listener"
	KindResourceConfiguration             Kind = "resourceconfiguration"
	KindResourceEndpointAssociation       Kind = "resourceendpointassociation"
	KindResourceGateway                   Kind = "resourcegateway"
	KindResourcePolicy                    Kind = "resourcepolicy"
	KindRule                              Kind = "rule"
	KindService                           Kind = "service"
	KindServiceNetwork                    Kind = "servicenetwork"
	KindServiceNetworkResourceAssociation Kind = "servicenetworkresourceassociation"
	KindServiceNetworkServiceAssociation  Kind = "servicenetworkserviceassociation"
	KindServiceNetworkVpcAssociation      Kind = "servicenetworkvpcassociation"
	KindSession                           Kind = "session"
	KindTarget                            Kind = "target"
	KindTargetGroup                       Kind = "targetgroup"
	KindToken                             Kind = "token"
)

// Scope is one account in one Region. Names are unique in it, and other scopes see nothing of it.
type Scope struct {
	Account string `json:"account"`
	Region  string `json:"region"`
}

// String returns "account/region".
func (s Scope) String() string { return s.Account + "/" + s.Region }

// Key says where a record is stored. Path is the ids from the outermost parent to the record itself, joined by
// slashes: "svc-1/listener-2/rule-3". DeleteTree deletes a record with all records below its path.
type Key struct {
	Kind  Kind
	Scope Scope
	Path  string
}

// KeyPrefix begins the key of everything in the store, before Key.String.
const KeyPrefix = "/trellis/v1/"

// String returns the key as it is in the store below KeyPrefix: "rule/account/region/svc-1/listener-2/rule-3".
func (k Key) String() string {
	return string(k.Kind) + "/" + k.Scope.Account + "/" + k.Scope.Region + "/" + k.Path
}

// Append appends the key as String returns it.
func (k Key) Append(to []byte) []byte {
	for _, part := range [...]string{string(k.Kind), k.Scope.Account, k.Scope.Region} {
		to = append(append(to, part...), '/')
	}
	return append(to, k.Path...)
}

// ParseKey is the inverse of Key.String.
func ParseKey(s string) (Key, bool) {
	kind, rest, _ := strings.Cut(s, "/")
	account, rest, _ := strings.Cut(rest, "/")
	region, path, _ := strings.Cut(rest, "/")
	if path == "" {
		return Key{}, false
	}
	return Key{Kind: Kind(kind), Scope: Scope{Account: account, Region: region}, Path: path}, true
}

// Record is a stored thing.
type Record interface {
	// Key returns where the record is stored. It never changes.
	Key() Key
	// Indexes returns the lists in which the record appears, each in order of creation.
	Indexes() []Index
	// Claims returns what no two records may hold at once, such as a name. The catalog refuses a transaction
	// after which two records hold the same claim.
	Claims() []Claim
}

// Expiring is a record that the store deletes by itself.
type Expiring interface {
	Record
	// Retention returns how long the record is kept at least.
	Retention() time.Duration
}

// Resource is a record that has an id, an ARN, tags and a lifecycle of its own: all kinds but targets, policies, detached
// endpoints, sessions and tokens.
type Resource interface {
	Record
	// Meta returns the part that all resources have. It may be changed on a clone only.
	Meta() *Base
	// ARN returns the Amazon Resource Name.
	ARN() string
	// Clone returns a shallow copy, to be changed and put back. Maps and slices must be replaced, not written to.
	Clone() Resource
}

// Index names an ordered list of records of one kind: the members of a scope, or those that refer to something.
type Index struct {
	Kind  Kind
	Scope Scope
	// By is what the members have in common, and Value its value. Both are empty for "all of that kind in the scope".
	By    string
	Value string
}

// Claim is something that at most one record can hold, such as a name within a scope.
type Claim struct {
	Kind  Kind
	Scope Scope
	// Of says what is claimed ("name", "port", "priority", "vpc"), Value which one. The value includes the parent's
	// id where the claim holds within a parent only.
	Of    string
	Value string
}

// All is the index of all records of a kind in a scope.
func All(kind Kind, scope Scope) Index { return Index{Kind: kind, Scope: scope} }

// By is the index of the records of a kind in a scope that share a property, such as the rules that forward to a target group.
func By(kind Kind, scope Scope, property, value string) Index {
	return Index{Kind: kind, Scope: scope, By: property, Value: value}
}

// Base is what every resource has.
type Base struct {
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	Scope     Scope             `json:"scope"`
	CreatedAt time.Time         `json:"createdAt"`
	UpdatedAt time.Time         `json:"lastUpdatedAt"`
	Lifecycle Lifecycle         `json:"lifecycle,omitzero"`
	Tags      map[string]string `json:"tags,omitempty"`
}

// Meta returns b itself, so that a struct with an embedded Base is nearly a Resource.
func (b *Base) Meta() *Base { return b }

// Deleting is the index of all resources, of whatever kind and scope, whose deletion is under way.
var Deleting = Index{By: "deleting"}

// Everywhere is the index of the resources of a kind in all scopes. Only the kinds to which VPC endpoints lead have it.
func Everywhere(kind Kind) Index { return Index{Kind: kind, By: "everywhere"} }

// Tagged is the index of a scope's resources of all kinds that have tags.
func Tagged(scope Scope) Index { return Index{Scope: scope, By: "tagged"} }

// indexes returns the given indexes, Deleting if the resource is being deleted, and Tagged if it has tags.
func (b *Base) indexes(list ...Index) []Index {
	if len(b.Tags) > 0 {
		list = append(list, Tagged(b.Scope))
	}
	if b.Lifecycle.Deleting() {
		list = append(list, Deleting)
	}
	return list
}

// nameClaim claims the name within a parent, given by its id and a slash, or within the scope.
func (b *Base) nameClaim(kind Kind, parent string) Claim {
	return Claim{Kind: kind, Scope: b.Scope, Of: "name", Value: parent + b.Name}
}

// Change is what happened to one record: Old is nil for a new one, New is nil for a deleted one.
type Change struct{ Old, New Record }

// records returns an empty record of each kind.
var records = map[Kind]func() Record{
	KindAccessLogSubscription:             func() Record { return new(AccessLogSubscription) },
	KindAuthPolicy:                        func() Record { return new(AuthPolicy) },
	KindDetachedEndpoint:                  func() Record { return new(DetachedEndpoint) },
	KindDomainVerification:                func() Record { return new(DomainVerification) },
	KindListener:                          func() Record { return new(Listener) },
	KindResourceConfiguration:             func() Record { return new(ResourceConfiguration) },
	KindResourceEndpointAssociation:       func() Record { return new(ResourceEndpointAssociation) },
	KindResourceGateway:                   func() Record { return new(ResourceGateway) },
	KindResourcePolicy:                    func() Record { return new(ResourcePolicy) },
	KindRule:                              func() Record { return new(Rule) },
	KindService:                           func() Record { return new(Service) },
	KindServiceNetwork:                    func() Record { return new(ServiceNetwork) },
	KindServiceNetworkResourceAssociation: func() Record { return new(ServiceNetworkResourceAssociation) },
	KindServiceNetworkServiceAssociation:  func() Record { return new(ServiceNetworkServiceAssociation) },
	KindServiceNetworkVpcAssociation:      func() Record { return new(ServiceNetworkVpcAssociation) },
	KindSession:                           func() Record { return new(Session) },
	KindTarget:                            func() Record { return new(Targets) },
	KindTargetGroup:                       func() Record { return new(TargetGroup) },
	KindToken:                             func() Record { return new(Token) },
}

// Kinds returns all kinds of records, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(records)) }

// NewRecord returns an empty record of a kind, for decoding into. ok is false for a kind that is not known.
func NewRecord(kind Kind) (rec Record, ok bool) {
	create, ok := records[kind]
	if !ok {
		return nil, false
	}
	return create(), true
}
