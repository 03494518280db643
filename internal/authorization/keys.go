package authorization

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/internal/api"
	"trellis/internal/lattice"
)

// conditionKeys gives the values of condition keys for one question.
type conditionKeys struct {
	call api.Call
	// tags are the caller's.
	tags map[string]string
	// request are the service's keys that come with the request, by name.
	request map[string][]string
	// arn is what the question is about, resource what is stored of it: nil if it does not exist yet.
	arn      string
	resource lattice.Resource
	now      time.Time
}

// values returns the values of a key. IAM does not distinguish upper and lower case in the names of keys.
func (k conditionKeys) values(name string) (values []string, present bool) {
	caller := k.call.Caller
	one := func(value string) ([]string, bool) { return []string{value}, value != "" }
	if prefix, tag, found := strings.Cut(name, "/"); found {
		value, present := tagValue(k.tagSet(strings.ToLower(prefix)), tag)
		return []string{value}, present
	}
	switch lower := strings.ToLower(name); lower {
	case "aws:principalarn":
		return one(caller.Principal)
	case "aws:principalaccount":
		return one(caller.Account)
	case "aws:principaltype":
		return one(principalType(caller.Principal))
	case "aws:userid":
		return one(caller.UserID)
	case "aws:username":
		return one(userName(caller.Principal))
	case "aws:sourceip":
		return one(caller.SourceIP)
	case "aws:currenttime":
		return one(k.now.UTC().Format(time.RFC3339))
	case "aws:epochtime":
		return one(strconv.FormatInt(k.now.Unix(), 10))
	case "aws:securetransport":
		if caller.Secure {
			return one("true")
		}
		return one("false")
	case "aws:requestedregion":
		return one(caller.Region)
	case "aws:resourceaccount":
		if arn, ok := lattice.ParseARN(k.arn); ok {
			return one(arn.Scope.Account)
		}
		return nil, false
	case "aws:tagkeys":
		values := requestTagKeys(k.call.Input)
		return values, len(values) > 0
	default:
		return k.service(lower)
	}
}

// service returns the values of one of the service's own keys: those of the request, or else the resource's.
func (k conditionKeys) service(lower string) (values []string, present bool) {
	for _, keys := range []map[string][]string{k.request, storedKeys(k.resource)} {
		for name, values := range keys {
			if strings.ToLower(name) == lower {
				return values, true
			}
		}
	}
	return nil, false
}

// tagSet returns the tags that a condition key is about.
func (k conditionKeys) tagSet(prefix string) map[string]string {
	switch prefix {
	case "aws:requesttag":
		return requestTags(k.call.Input)
	case "aws:resourcetag":
		if k.resource != nil {
			return k.resource.Meta().Tags
		}
	case "aws:principaltag":
		return k.tags
	}
	return nil
}

// ambiguous reports whether a condition key is about several tags, whose keys differ in case only. Of those IAM takes one
// or the other, and which one it does not say (IAM, Controlling access to AWS resources using tags); here, whoever
// chooses the tags must not choose the answer.
func (k conditionKeys) ambiguous(name string) bool {
	prefix, tag, found := strings.Cut(name, "/")
	if !found {
		return false
	}
	count := 0
	for key := range k.tagSet(strings.ToLower(prefix)) {
		if strings.EqualFold(key, tag) {
			count++
		}
	}
	return count > 1
}

// tagValue returns a tag's value. The names of condition keys, of which its key is a part, are compared without regard to
// case.
func tagValue(tags map[string]string, key string) (value string, present bool) {
	for k, value := range tags {
		if strings.EqualFold(k, key) {
			return value, true
		}
	}
	return "", false
}

// requestTags returns the tags that a request sets.
func requestTags(input any) map[string]string {
	tags, _ := member(input, "Tags").(map[string]string)
	return tags
}

// requestTagKeys returns the keys of the tags that a request sets or removes.
func requestTagKeys(input any) []string {
	if keys, ok := member(input, "TagKeys").([]string); ok {
		return keys
	}
	return slices.Sorted(maps.Keys(requestTags(input)))
}

// member returns a member of a request, or nil if it has no such member.
func member(input any, name string) any {
	field := reflect.ValueOf(input).Elem().FieldByName(name)
	if !field.IsValid() {
		return nil
	}
	return field.Interface()
}

// storedKeys returns the service's keys that a stored resource has.
func storedKeys(resource lattice.Resource) map[string][]string {
	switch r := resource.(type) {
	case *lattice.ServiceNetworkServiceAssociation:
		return map[string][]string{
			keyServiceARN:        {arnOf(r.Scope, lattice.KindService, r.ServiceID)},
			keyServiceNetworkARN: {arnOf(r.Scope, lattice.KindServiceNetwork, r.ServiceNetworkID)},
		}
	case *lattice.ServiceNetworkVpcAssociation:
		return map[string][]string{
			keyServiceNetworkARN: {arnOf(r.Scope, lattice.KindServiceNetwork, r.ServiceNetworkID)},
			keyVpcID:             {r.VpcID},
			keySecurityGroupIDs:  r.SecurityGroupIDs,
		}
	case *lattice.ServiceNetworkResourceAssociation:
		return map[string][]string{
			keyResourceConfigurationARN: {arnOf(r.Scope, lattice.KindResourceConfiguration, r.ResourceConfigurationID)},
			keyServiceNetworkARN:        {arnOf(r.Scope, lattice.KindServiceNetwork, r.ServiceNetworkID)},
		}
	case *lattice.ResourceEndpointAssociation:
		return map[string][]string{
			keyResourceConfigurationARN: {arnOf(r.Scope, lattice.KindResourceConfiguration, r.ResourceConfigurationID)},
			keyVpcEndpointID:            {r.VpcEndpointID},
		}
	case *lattice.ResourceGateway:
		return map[string][]string{keyVpcID: {r.VpcID}, keySecurityGroupIDs: r.SecurityGroupIDs}
	case *lattice.TargetGroup:
		if r.Config != nil && r.Config.VpcIdentifier != nil {
			return map[string][]string{keyVpcID: {*r.Config.VpcIdentifier}}
		}
	}
	return nil
}

// principalType is Account for an account's root, AssumedRole for a session of a role, User for a user.
func principalType(arn string) string {
	switch kind, _ := principalName(arn); kind {
	case "root":
		return "Account"
	case "assumed-role":
		return "AssumedRole"
	default:
		return "User"
	}
}

// userName returns the name of a user, without its path. Others have none.
func userName(arn string) string {
	kind, name := principalName(arn)
	if kind != "user" {
		return ""
	}
	return name[strings.LastIndexByte(name, '/')+1:]
}

func principalName(arn string) (kind, name string) {
	kind, name, _ = strings.Cut(arn[strings.LastIndexByte(arn, ':')+1:], "/")
	return kind, name
}
