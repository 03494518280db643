package policy

import (
	"fmt"
	"slices"
	"strings"

	"trellis/internal/nearest"
)

// Key is a condition key.
type Key struct {
	// Name is the key as it is documented. It ends in a slash if the author's own name follows, as in aws:PrincipalTag/.
	Name string
	// Part is what follows the slash: the key of a tag, the name of a header in lower case, a query parameter.
	Part string
	// id stands for the name: comparing names for each request would cost as much as comparing the values.
	id keyID
	// own reports that the value comes from the Request itself: from the caller, the resource or the time.
	own bool
	// once reports that a request has at most one value.
	once bool
}

func (k Key) String() string { return k.Name + k.Part }

// keyID is one of the keys that requests here can have.
type keyID uint8

const (
	idNone keyID = iota // a key that no request has
	idCurrentTime
	idEpochTime
	idMultiFactorAuthPresent
	idPrincipalAccount
	idPrincipalARN
	idPrincipalIsService
	idPrincipalOrgID
	idPrincipalOrgPaths
	idPrincipalTag
	idPrincipalType
	idReferer
	idRequestedRegion
	idRequestTag
	idResourceAccount
	idResourceTag
	idSecureTransport
	idSourceIP
	idTagKeys
	idTokenIssueTime
	idUserAgent
	idUserID
	idUserName
	idViaAWSService
	idPort
	idRequestHeader
	idRequestMethod
	idRequestPath
	idRequestQueryString
	idServiceARN
	idServiceNetworkARN
	idSourceVpc
	idSourceVpcOwnerAccount
)

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

// keyFacts is what is documented about a key.
type keyFacts struct {
	name   string
	id     keyID
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
	KeyMultiFactorPresent = "aws:MultiFactorAuthPresent"
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
	KeyTokenIssueTime     = "aws:TokenIssueTime"
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

// trafficPrefix is the prefix of the keys and actions of requests through the network.
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
		{name: KeyCurrentTime, id: idCurrentTime, values: typeDate, own: true},
		{name: "aws:Ec2InstanceSourcePrivateIPv4", values: typeIP},
		{name: "aws:Ec2InstanceSourceVpc"},
		{name: KeyEpochTime, id: idEpochTime, values: typeDate, own: true},
		{name: "aws:FederatedProvider"},
		{name: "aws:MultiFactorAuthAge", values: typeNumeric},
		{name: KeyMultiFactorPresent, id: idMultiFactorAuthPresent, values: typeBool, own: true},
		{name: KeyPrincipalAccount, id: idPrincipalAccount, own: true},
		{name: KeyPrincipalARN, id: idPrincipalARN, values: typeARN, own: true},
		{name: KeyPrincipalIsService, id: idPrincipalIsService, values: typeBool, own: true},
		{name: KeyPrincipalOrgID, id: idPrincipalOrgID, own: true},
		{name: KeyPrincipalOrgPaths, id: idPrincipalOrgPaths, several: true, own: true},
		{name: "aws:PrincipalServiceName"},
		{name: "aws:PrincipalServiceNamesList", several: true},
		{name: KeyPrincipalTag, id: idPrincipalTag, own: true},
		{name: KeyPrincipalType, id: idPrincipalType, own: true},
		{name: KeyReferer, id: idReferer},
		{name: KeyRequestedRegion, id: idRequestedRegion},
		{name: KeyRequestTag, id: idRequestTag},
		{name: KeyResourceAccount, id: idResourceAccount, own: true},
		{name: "aws:ResourceOrgID"},
		{name: "aws:ResourceOrgPaths", several: true},
		{name: KeyResourceTag, id: idResourceTag},
		{name: KeySecureTransport, id: idSecureTransport, values: typeBool},
		{name: "aws:SourceAccount"},
		{name: "aws:SourceArn", values: typeARN},
		{name: "aws:SourceIdentity"},
		{name: KeySourceIP, id: idSourceIP, values: typeIP},
		{name: "aws:SourceOrgID"},
		{name: "aws:SourceOrgPaths", several: true},
		{name: "aws:SourceVpc"},
		{name: "aws:SourceVpcArn", values: typeARN},
		{name: "aws:SourceVpce"},
		{name: KeyTagKeys, id: idTagKeys, several: true},
		{name: KeyTokenIssueTime, id: idTokenIssueTime, values: typeDate, own: true},
		{name: KeyUserAgent, id: idUserAgent},
		{name: KeyUserID, id: idUserID, own: true},
		{name: KeyUserName, id: idUserName, own: true},
		{name: KeyViaAWSService, id: idViaAWSService, values: typeBool, own: true},
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

		{name: KeyPort, id: idPort, values: typeNumeric},
		{name: KeyRequestHeader, id: idRequestHeader},
		{name: KeyRequestMethod, id: idRequestMethod},
		{name: KeyRequestPath, id: idRequestPath},
		{name: KeyRequestQueryString, id: idRequestQueryString, several: true},
		{name: KeyServiceARN, id: idServiceARN, values: typeARN},
		{name: KeyServiceNetworkARN, id: idServiceNetworkARN, values: typeARN},
		{name: KeySourceVpc, id: idSourceVpc},
		{name: KeySourceVpcOwnerAccount, id: idSourceVpcOwnerAccount},
	}
}

// once reports that a request has at most one value for a key. Lines of a header are values of their own.
func (f keyFacts) once() bool {
	return !f.several && f.id != idNone && f.id != idRequestHeader && f.id != idUserAgent && f.id != idReferer
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
		return Key{Name: facts.name, Part: rest, id: facts.id, own: facts.own, once: facts.once()}, nil
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
			return facts.name // the right name with another service's prefix
		}
		names = append(names, facts.name)
	}
	return nearest.Name(family, names)
}
