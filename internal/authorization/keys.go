package authorization

import (
	"maps"
	"reflect"
	"slices"
	"strconv"

	"trellis/internal/api"
	"trellis/internal/lattice"
	"trellis/internal/policy"
)

// conditionKeys are the values of condition keys for one question.
type conditionKeys struct {
	call api.Call
	// request holds the service's keys that come with the request, by name.
	request map[string][]string
	// resource is the stored resource that the question is about: nil if it does not exist yet.
	resource lattice.Resource
}

// Value implements policy.Values.
func (k conditionKeys) Value(key *policy.Key, from int) (string, int) {
	caller := k.call.Caller
	switch key.Name {
	case policy.KeySourceIP:
		return policy.One(caller.SourceIP, from)
	case policy.KeySecureTransport:
		return policy.One(strconv.FormatBool(caller.Secure), from)
	case policy.KeyRequestedRegion:
		return policy.One(caller.Region, from)
	case policy.KeyTagKeys:
		return nth(requestTagKeys(k.call.Input), from)
	case policy.KeyRequestTag:
		return policy.Tag(requestTags(k.call.Input), key.Part, from)
	case policy.KeyResourceTag:
		if k.resource == nil {
			return "", policy.None
		}
		return policy.Tag(k.resource.Meta().Tags, key.Part, from)
	}
	// The service's own keys are those of the request, or else the resource's.
	if values, present := k.request[key.Name]; present {
		return nth(values, from)
	}
	return nth(storedKeys(k.resource)[key.Name], from)
}

// nth returns the value at a position.
func nth(values []string, from int) (string, int) {
	if from >= len(values) {
		return "", policy.None
	}
	return values[from], from + 1
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
