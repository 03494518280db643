package api

import (
	"encoding/json"

	"trellis/internal/lattice"
)

// creation maps the members of a record to those in the input of the operation that creates it.
type creation struct {
	decode func(*decoder) any
	// label is the member that the path holds, if it holds one that is checked.
	label string
	// renamed are members that have another name in the input.
	renamed map[string]string
}

// input makes a decoder of an operation one of a creation.
func input[In any](decode func(*decoder) *In) func(*decoder) any {
	return func(d *decoder) any { return decode(d) }
}

// creations are the operations that create records. Records that only the service itself writes have none.
func creations(kind lattice.Kind) (creation, bool) {
	switch kind {
	case lattice.KindAccessLogSubscription:
		return creation{input(decodeCreateAccessLogSubscriptionRequest), "", map[string]string{"resourceId": "resourceIdentifier"}}, true
	case lattice.KindAuthPolicy:
		return creation{input(decodePutAuthPolicyRequest), "resourceId", nil}, true
	case lattice.KindDomainVerification:
		return creation{input(decodeStartDomainVerificationRequest), "", nil}, true
	case lattice.KindListener:
		return creation{func(d *decoder) any {
			// The record of the default rule has the action.
			d.body["defaultAction"] = map[string]any{"fixedResponse": map[string]any{"statusCode": json.Number("404")}}
			return decodeCreateListenerRequest(d)
		}, "serviceId", nil}, true
	case lattice.KindResourceConfiguration:
		return creation{input(decodeCreateResourceConfigurationRequest), "", map[string]string{
			"resourceGatewayId": "resourceGatewayIdentifier", "groupId": "resourceConfigurationGroupIdentifier",
			"definition": "resourceConfigurationDefinition", "domainVerificationId": "domainVerificationIdentifier",
		}}, true
	case lattice.KindResourceGateway:
		return creation{input(decodeCreateResourceGatewayRequest), "", map[string]string{"vpcId": "vpcIdentifier"}}, true
	case lattice.KindRule:
		return creation{func(d *decoder) any {
			if d.body["isDefault"] == true { // It has the listener's default action, and nothing that a client can give.
				return decodeRuleAction(d.member("action").required())
			}
			d.labels[1] = "listener-00000000000000000"
			return decodeCreateRuleRequest(d)
		}, "serviceId", nil}, true
	case lattice.KindService:
		return creation{input(decodeCreateServiceRequest), "", nil}, true
	case lattice.KindServiceNetwork:
		return creation{input(decodeCreateServiceNetworkRequest), "", nil}, true
	case lattice.KindServiceNetworkResourceAssociation:
		return creation{input(decodeCreateServiceNetworkResourceAssociationRequest), "", map[string]string{
			"serviceNetworkId": "serviceNetworkIdentifier", "resourceConfigurationId": "resourceConfigurationIdentifier",
		}}, true
	case lattice.KindServiceNetworkServiceAssociation:
		return creation{input(decodeCreateServiceNetworkServiceAssociationRequest), "", map[string]string{
			"serviceNetworkId": "serviceNetworkIdentifier", "serviceId": "serviceIdentifier",
		}}, true
	case lattice.KindServiceNetworkVpcAssociation:
		return creation{input(decodeCreateServiceNetworkVpcAssociationRequest), "", map[string]string{
			"serviceNetworkId": "serviceNetworkIdentifier", "vpcId": "vpcIdentifier",
		}}, true
	case lattice.KindTargetGroup:
		return creation{input(decodeCreateTargetGroupRequest), "", nil}, true
	default:
		return creation{}, false
	}
}

// CheckRecord checks the members of a record, as it is stored in JSON, by what the model says of the input of the operation
// that creates such records, and returns that input, or nil if there is no such operation. The error is a
// *shape.ValidationException that names all wrong fields.
func CheckRecord(kind lattice.Kind, record []byte) (any, error) {
	create, ok := creations(kind)
	if !ok {
		return nil, nil
	}
	d := &decoder{}
	if err := d.parseBody(record); err != nil {
		return nil, err
	}
	withoutEmptyLists(d.body)
	for member, name := range create.renamed {
		d.body[name] = d.body[member]
	}
	if label, ok := d.body[create.label].(string); ok {
		d.labels[0] = label
	}
	input := create.decode(d)
	return input, d.err()
}

// withoutEmptyLists removes empty lists: a record may have one where clients must leave the member out.
func withoutEmptyLists(object map[string]any) {
	for name, member := range object {
		switch v := member.(type) {
		case []any:
			if len(v) == 0 {
				delete(object, name)
			}
			for _, element := range v {
				if inner, ok := element.(map[string]any); ok {
					withoutEmptyLists(inner)
				}
			}
		case map[string]any:
			withoutEmptyLists(v)
		}
	}
}
