package control

import (
	"fmt"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// resourceTypes are the words for kinds in the resourceType member of errors. SERVICE and SERVICE_NETWORK are
// AWS's, and the Gateway API controller compares them; the others follow their pattern.
var resourceTypes = map[lattice.Kind]string{
	lattice.KindAccessLogSubscription:             "ACCESS_LOG_SUBSCRIPTION",
	lattice.KindDomainVerification:                "DOMAIN_VERIFICATION",
	lattice.KindListener:                          "LISTENER",
	lattice.KindResourceConfiguration:             "RESOURCE_CONFIGURATION",
	lattice.KindResourceEndpointAssociation:       "RESOURCE_ENDPOINT_ASSOCIATION",
	lattice.KindResourceGateway:                   "RESOURCE_GATEWAY",
	lattice.KindRule:                              "RULE",
	lattice.KindService:                           "SERVICE",
	lattice.KindServiceNetwork:                    "SERVICE_NETWORK",
	lattice.KindServiceNetworkResourceAssociation: "SERVICE_NETWORK_RESOURCE_ASSOCIATION",
	lattice.KindServiceNetworkServiceAssociation:  "SERVICE_NETWORK_SERVICE_ASSOCIATION",
	lattice.KindServiceNetworkVpcAssociation:      "SERVICE_NETWORK_VPC_ASSOCIATION",
	lattice.KindTarget:                            "TARGET",
	lattice.KindTargetGroup:                       "TARGET_GROUP",
}

// resourceTypeDomainName is the word for a custom domain name, which is not a resource.
const resourceTypeDomainName = "CUSTOM_DOMAIN_NAME"

// find returns the resource that an identifier, an id or an ARN, names in the caller's scope. parents are the
// identifiers of the resources around it, outermost first: the service of a listener, the service and the
// listener of a rule. The model's patterns have been checked, so an ARN here is of the right kind.
func find[R lattice.Resource](v catalog.View, caller api.Caller, kind lattice.Kind, identifier *string, parents ...*string) (R, error) {
	var none R
	key, err := resolve(caller, kind, identifier, parents...)
	if err != nil {
		return none, err
	}
	rec, ok := catalog.Get[R](v, key)
	if !ok {
		return none, api.NotFound(resourceTypes[kind], *identifier)
	}
	return rec, nil
}

// resolve returns the key that an identifier and those of its parents name.
func resolve(caller api.Caller, kind lattice.Kind, identifier *string, parents ...*string) (lattice.Key, error) {
	ids := make([]string, 0, len(parents)+1)
	for _, p := range append(parents, identifier) {
		path, err := identifierPath(caller, kind, p)
		if err != nil {
			return lattice.Key{}, err
		}
		// A nested ARN names its parents too: they must be those that the other identifiers name.
		if outer := len(path) - 1; outer > 0 {
			for i := range outer {
				if i < len(ids) && ids[i] != path[i] {
					return lattice.Key{}, api.NotFound(resourceTypes[kind], *p)
				}
			}
		}
		ids = append(ids, path[len(path)-1])
	}
	return lattice.Key{Kind: kind, Scope: caller.Scope(), Path: strings.Join(ids, "/")}, nil
}

// identifierPath returns the ids in an identifier: one for an id, one per resource for an ARN. Another account's
// ARN is refused, since nothing is shared with the caller; another Region's names nothing here.
func identifierPath(caller api.Caller, kind lattice.Kind, identifier *string) ([]string, error) {
	if !strings.HasPrefix(*identifier, "arn:") {
		return []string{*identifier}, nil
	}
	a, ok := lattice.ParseARN(*identifier)
	switch {
	case !ok:
		return nil, api.NotFound(resourceTypes[kind], *identifier)
	case a.Scope.Account != caller.Account:
		return nil, foreignAccount(caller, *identifier, a.Scope.Account)
	case a.Scope != caller.Scope():
		return nil, elsewhere(caller, resourceTypes[kind], *identifier, a.Scope.Region)
	}
	return strings.Split(a.Path, "/"), nil
}

// foreignAccount refuses another account's ARN.
func foreignAccount(caller api.Caller, arn, owner string) error {
	return api.AccessDenied(fmt.Sprintf("Account %s may not use %s: the resource belongs to account %s, which has not shared it.",
		caller.Account, arn, owner))
}

// elsewhere is the error for an ARN of another Region than the request's. Regions know nothing of each other, so nothing is
// found; the message says where to ask.
func elsewhere(caller api.Caller, resourceType, arn, region string) error {
	e := api.NotFound(resourceType, arn)
	message := *e.Message + " The request is signed for the Region " + caller.Region + ", and the ARN is one of " + region + "."
	e.Message = &message
	return e
}

// filterID returns the id in the identifier by which a list is filtered, or "" if there is none. A list about what does not
// exist is empty.
func filterID(caller api.Caller, kind lattice.Kind, identifier *string) (string, error) {
	if identifier == nil {
		return "", nil
	}
	path, err := identifierPath(caller, kind, identifier)
	if err != nil {
		return "", err
	}
	return path[len(path)-1], nil
}
