package lattice

import (
	"regexp"
	"strings"

	"trellis/internal/shape"
)

// AccessLogSubscription sends the access logs of a service, a service network or a resource configuration to a
// destination.
type AccessLogSubscription struct {
	Base
	// ResourceID is the resource whose traffic is logged. Its prefix tells the kind.
	ResourceID      string         `json:"resourceId"`
	DestinationType LogDestination `json:"destinationType"`
	// DestinationARN has the form that StoredLogDestination returns.
	DestinationARN string `json:"destinationArn"`
	// LogType says which traffic of a service network is logged. It is empty for other resources.
	LogType shape.ServiceNetworkLogType `json:"serviceNetworkLogType,omitempty"`
}

// accessLogSubscriptionKey returns the key of an access log subscription.
func accessLogSubscriptionKey(scope Scope, id string) Key {
	return Key{KindAccessLogSubscription, scope, id}
}

func (s *AccessLogSubscription) Key() Key        { return accessLogSubscriptionKey(s.Scope, s.ID) }
func (s *AccessLogSubscription) ARN() string     { return arn(s.Scope, "accesslogsubscription/"+s.ID) }
func (s *AccessLogSubscription) Clone() Resource { c := *s; return &c }
func (s *AccessLogSubscription) Indexes() []Index {
	return s.indexes(By(KindAccessLogSubscription, s.Scope, "resource", s.ResourceID))
}
func (s *AccessLogSubscription) Claims() []Claim { return []Claim{s.DestinationClaim()} }

// DestinationClaim claims the type of destination for the logs of the resource: there is one subscription per type
// (UG monitoring-access-logs). A service network's services and resources have separate logs.
func (s *AccessLogSubscription) DestinationClaim() Claim {
	value := strings.Join([]string{s.ResourceID, string(s.LogType), string(s.DestinationType)}, "/")
	return Claim{KindAccessLogSubscription, s.Scope, "log destination", value}
}

// LogDestination is a type of destination of access logs.
type LogDestination string

// The types of destinations (API CreateAccessLogSubscription), as messages call them.
const (
	DestinationLogGroup       LogDestination = "CloudWatch Logs log group"
	DestinationBucket         LogDestination = "S3 bucket"
	DestinationDeliveryStream LogDestination = "Firehose delivery stream"
)

// logDestinations are the forms of destinations' ARNs. A bucket's may end in a prefix for the names of objects.
var logDestinations = map[LogDestination]*regexp.Regexp{
	DestinationLogGroup:       regexp.MustCompile(`^arn:[a-z0-9-]+:logs:[a-z0-9-]+:\d{12}:log-group:[a-zA-Z0-9_/.#-]{1,512}(:\*)?$`),
	DestinationBucket:         regexp.MustCompile(`^arn:[a-z0-9-]+:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$`),
	DestinationDeliveryStream: regexp.MustCompile(`^arn:[a-z0-9-]+:firehose:[a-z0-9-]+:\d{12}:deliverystream/[a-zA-Z0-9_.-]{1,64}$`),
}

// StoredLogDestination returns the type of destination that an ARN names, and the ARN as it is stored: a log group's always
// ends in ":*", as at AWS (github.com/hashicorp/terraform-provider-aws, internal/service/vpclattice/access_log_subscription.go).
// ok is false for an ARN that names no destination of access logs.
func StoredLogDestination(arn string) (destination LogDestination, stored string, ok bool) {
	for destination, form := range logDestinations {
		if !form.MatchString(arn) {
			continue
		}
		if destination == DestinationLogGroup {
			arn = strings.TrimSuffix(arn, ":*") + ":*"
		}
		return destination, arn, true
	}
	return "", "", false
}
