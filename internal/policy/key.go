package policy

import (
	"fmt"
	"slices"
	"strings"

	"trellis/internal/nearest"
)

// Key is a condition key.
type Key struct {
	// Name is the key as it is documented. It ends in a slash where a name of the author's follows, as in
	// aws:PrincipalTag/.
	Name string
	// Part is what follows the slash: the key of a tag, the name of a header in lower case, a query parameter.
	Part string
	// own reports that the value is the caller's, the resource's or the time: the Request has it itself.
	own bool
}

func (k Key) String() string { return k.Name + k.Part }

// valueType is the type of a key's values.
type valueType uint8

const (
	typeString valueType = iota
	typeARN
	typeBool
	typeDate
	typeIP
	typeNumeric
)

// keyFacts are what is documented of a key.
type keyFacts struct {
	name   string
	values valueType
	// several reports that a request can have several values for the key.
	several bool
	// own is as in Key.
	own bool
}

// The global keys that requests here can have (IAM, AWS global condition context keys).
const (
	KeyCurrentTime        = "aws:CurrentTime"
	KeyEpochTime          = "aws:EpochTime"
	KeyPrincipalAccount   = "aws:PrincipalAccount"
	KeyPrincipalARN       = "aws:PrincipalArn"
	KeyPrincipalIsService = "aws:PrincipalIsAWSService"
	KeyPrincipalOrgID     = "aws:PrincipalOrgID"
	KeyPrincipalOrgPaths  = "aws:PrincipalOrgPaths"
	KeyPrincipalTag       = "aws:PrincipalTag/"
	KeyPrincipalType      = "aws:PrincipalType"
	KeyReferer            = "aws:referer"
	KeyRequestedRegion    = "aws:RequestedRegion"
	KeyRequestTag         = "aws:RequestTag/"
	KeyResourceAccount    = "aws:ResourceAccount"
	KeyResourceTag        = "aws:ResourceTag/"
	KeySecureTransport    = "aws:SecureTransport"
	KeySourceIP           = "aws:SourceIp"
	KeyTagKeys            = "aws:TagKeys"
	KeyUserAgent          = "aws:UserAgent"
	KeyUserID             = "aws:userid"
	KeyUserName           = "aws:username"
	KeyViaAWSService      = "aws:ViaAWSService"
)

// The keys of requests through the network (Service Authorization Reference, vpc-lattice-svcs; UG auth-policies).
const (
	KeyPort                  = "vpc-lattice-svcs:Port"
	KeyRequestHeader         = "vpc-lattice-svcs:RequestHeader/"
	KeyRequestMethod         = "vpc-lattice-svcs:RequestMethod"
	KeyRequestPath           = "vpc-lattice-svcs:RequestPath"
	KeyRequestQueryString    = "vpc-lattice-svcs:RequestQueryString/"
	KeyServiceARN            = "vpc-lattice-svcs:ServiceArn"
	KeyServiceNetworkARN     = "vpc-lattice-svcs:ServiceNetworkArn"
	KeySourceVpc             = "vpc-lattice-svcs:SourceVpc"
	KeySourceVpcOwnerAccount = "vpc-lattice-svcs:SourceVpcOwnerAccount"
)

// trafficPrefix is that of the keys and actions of requests through the network.
const trafficPrefix = "vpc-lattice-svcs:"

// keys are all condition keys: the global ones, those of VPC Lattice and those of STS. A policy may name a key that a
// request does not have. But it must not name one that does not exist, since nobody would notice that no request ever has
// it.
func keys() []keyFacts {
	return []keyFacts{
		{name: "aws:AssumedRoot"},
		{name: "aws:CalledVia", several: true},
		{name: "aws:CalledViaFirst"},
		{name: "aws:CalledViaLast"},
		{name: "aws:ChatbotSourceArn", values: typeARN},
		{name: KeyCurrentTime, values: typeDate, own: true},
		{name: "aws:Ec2InstanceSourcePrivateIPv4", values: typeIP},
		{name: "aws:Ec2InstanceSourceVpc"},
		{name: KeyEpochTime, values: typeDate, own: true},
		{name: "aws:FederatedProvider"},
		{name: "aws:MultiFactorAuthAge", values: typeNumeric},
		{name: "aws:MultiFactorAuthPresent", values: typeBool},
		{name: KeyPrincipalAccount, own: true},
		{name: KeyPrincipalARN, values: typeARN, own: true},
		{name: KeyPrincipalIsService, values: typeBool, own: true},
		{name: KeyPrincipalOrgID, own: true},
		{name: KeyPrincipalOrgPaths, several: true, own: true},
		{name: "aws:PrincipalServiceName"},
		{name: "aws:PrincipalServiceNamesList", several: true},
		{name: KeyPrincipalTag, own: true},
		{name: KeyPrincipalType, own: true},
		{name: KeyReferer},
		{name: KeyRequestedRegion},
		{name: KeyRequestTag},
		{name: KeyResourceAccount, own: true},
		{name: "aws:ResourceOrgID"},
		{name: "aws:ResourceOrgPaths", several: true},
		{name: KeyResourceTag},
		{name: KeySecureTransport, values: typeBool},
		{name: "aws:SourceAccount"},
		{name: "aws:SourceArn", values: typeARN},
		{name: "aws:SourceIdentity"},
		{name: KeySourceIP, values: typeIP},
		{name: "aws:SourceOrgID"},
		{name: "aws:SourceOrgPaths", several: true},
		{name: "aws:SourceVpc"},
		{name: "aws:SourceVpcArn", values: typeARN},
		{name: "aws:SourceVpce"},
		{name: KeyTagKeys, several: true},
		{name: "aws:TokenIssueTime", values: typeDate},
		{name: KeyUserAgent},
		{name: KeyUserID, own: true},
		{name: KeyUserName, own: true},
		{name: KeyViaAWSService, values: typeBool, own: true},
		{name: "aws:VpceAccount"},
		{name: "aws:VpceOrgID"},
		{name: "aws:VpceOrgPaths", several: true},
		{name: "aws:VpcSourceIp", values: typeIP},

		{name: "sts:AuthorizationContext"},
		{name: "sts:AWSServiceName"},
		{name: "sts:DurationSeconds", values: typeNumeric},
		{name: "sts:ExternalId"},
		{name: "sts:RequestContext/"},
		{name: "sts:RoleSessionName"},
		{name: "sts:SourceIdentity"},
		{name: "sts:TransitiveTagKeys", several: true},

		{name: "vpc-lattice:AuthType"},
		{name: "vpc-lattice:DomainName"},
		{name: "vpc-lattice:PrivateDnsPreference"},
		{name: "vpc-lattice:PrivateDnsSpecifiedDomains", several: true},
		{name: "vpc-lattice:Protocol"},
		{name: "vpc-lattice:ResourceConfigurationArn", values: typeARN},
		{name: "vpc-lattice:SecurityGroupIds", several: true},
		{name: "vpc-lattice:ServiceArn", values: typeARN},
		{name: "vpc-lattice:ServiceNetworkArn", values: typeARN},
		{name: "vpc-lattice:TargetGroupArns", values: typeARN, several: true},
		{name: "vpc-lattice:VpcEndpointId"},
		{name: "vpc-lattice:VpcId"},

		{name: KeyPort, values: typeNumeric},
		{name: KeyRequestHeader},
		{name: KeyRequestMethod},
		{name: KeyRequestPath},
		{name: KeyRequestQueryString, several: true},
		{name: KeyServiceARN, values: typeARN},
		{name: KeyServiceNetworkARN, values: typeARN},
		{name: KeySourceVpc},
		{name: KeySourceVpcOwnerAccount},
	}
}

// facts returns what is documented of a key.
func (k Key) facts() keyFacts {
	all := keys()
	if at := slices.IndexFunc(all, func(f keyFacts) bool { return f.name == k.Name }); at >= 0 {
		return all[at]
	}
	return keyFacts{name: k.Name}
}

// parseKey reads a condition key. The names of keys are compared without regard to case (IAM), except for those of
// requests through the network, which are documented to be case-sensitive (UG auth-policies; A-564).
func parseKey(name string) (Key, error) {
	family, rest, isFamily := strings.Cut(name, "/")
	if isFamily {
		family += "/"
	}
	near := ""
	for _, facts := range keys() {
		if !strings.EqualFold(facts.name, family) {
			continue
		}
		if strings.HasPrefix(facts.name, trafficPrefix) && facts.name != family {
			near = facts.name
			continue
		}
		if isFamily && rest == "" {
			return Key{}, fmt.Errorf("%s names nothing behind its slash", name)
		}
		if facts.name == KeyRequestHeader {
			rest = strings.ToLower(rest) // RFC 9110 5.1: header names have no case.
		}
		return Key{Name: facts.name, Part: rest, own: facts.own}, nil
	}
	if near == "" {
		near = nearKey(family)
	}
	if near != "" {
		return Key{}, fmt.Errorf("%s is not a condition key; did you mean %s?", name, near+rest)
	}
	return Key{}, fmt.Errorf("%s is not a condition key", name)
}

// nearKey returns the key that was probably meant, or "".
func nearKey(family string) string {
	var names []string
	_, bare, _ := strings.Cut(family, ":")
	for _, facts := range keys() {
		if _, other, _ := strings.Cut(facts.name, ":"); strings.EqualFold(bare, other) {
			return facts.name // the right name after another service's
		}
		names = append(names, facts.name)
	}
	return nearest.Name(family, names)
}
