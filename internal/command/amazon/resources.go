package amazon

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
)

// base are the members that all resources have in the API and in a document. Tags come from another operation.
var base = []string{"id", "name", "createdAt", "lastUpdatedAt"}

// with returns the names of members after those of all resources. A name may have another one in the document: "theirs:ours".
func with(names ...string) []string { return append(slices.Clone(base), names...) }

func (r *reader) targetGroup(ctx context.Context, item object) error {
	id := item.text("id")
	group, err := call(ctx, r, r.client.GetTargetGroup, &vpclattice.GetTargetGroupInput{TargetGroupIdentifier: &id})
	if err != nil || group == nil {
		return err
	}
	in := &vpclattice.ListTargetsInput{TargetGroupIdentifier: &id}
	targets, err := list(ctx, r, r.client.ListTargets, in, &in.NextToken)
	if err != nil {
		return err
	}
	members := r.place(group, targets)
	if err := r.tagged(ctx, "targetGroups", group, with("type", "config")...); err != nil {
		return err
	}
	if len(members) > 0 {
		r.add("targets", object{"targetGroupId": id, "members": members}, "targetGroupId", "members")
	}
	return nil
}

func (r *reader) domainVerification(ctx context.Context, item object) error {
	id := item.text("id")
	verification, err := call(ctx, r, r.client.GetDomainVerification, &vpclattice.GetDomainVerificationInput{DomainVerificationIdentifier: &id})
	if err != nil || verification == nil {
		return err
	}
	if record, ok := verification["txtMethodConfig"].(object); ok {
		verification["txtName"] = strings.TrimSuffix(record.text("name"), "."+verification.text("domainName"))
		verification["txtValue"] = record.text("value")
	}
	if verification.text("status") == "VERIFIED" {
		verification["verifiedAt"] = verification["lastVerifiedTime"]
	}
	r.add("domainVerifications", verification, with("domainName", "txtName", "txtValue", "verifiedAt", "tags")...)
	return nil
}

func (r *reader) resourceGateway(ctx context.Context, item object) error {
	id := item.text("id")
	gateway, err := call(ctx, r, r.client.GetResourceGateway, &vpclattice.GetResourceGatewayInput{ResourceGatewayIdentifier: &id})
	if err != nil || gateway == nil {
		return err
	}
	return r.tagged(ctx, "resourceGateways", gateway,
		with("vpcId", "subnetIds", "securityGroupIds", "ipAddressType", "ipv4AddressesPerEni", "resourceConfigDnsResolution")...)
}

func (r *reader) resourceConfiguration(ctx context.Context, item object) error {
	id := item.text("id")
	configuration, err := call(ctx, r, r.client.GetResourceConfiguration, &vpclattice.GetResourceConfigurationInput{ResourceConfigurationIdentifier: &id})
	if err != nil || configuration == nil {
		return err
	}
	err = r.tagged(ctx, "resourceConfigurations", configuration, with("type", "resourceGatewayId", "resourceConfigurationGroupId:groupId",
		"portRanges", "protocol", "resourceConfigurationDefinition:definition", "allowAssociationToShareableServiceNetwork",
		"customDomainName", "groupDomain", "domainVerificationId", "amazonManaged")...)
	if err != nil {
		return err
	}
	in := &vpclattice.ListResourceEndpointAssociationsInput{ResourceConfigurationIdentifier: &id}
	endpoints, err := list(ctx, r, r.client.ListResourceEndpointAssociations, in, &in.NextToken)
	if err != nil {
		return err
	}
	for _, endpoint := range endpoints {
		endpoint["resourceConfigurationId"] = id
		if err := r.tagged(ctx, "resourceEndpointAssociations", endpoint, with("resourceConfigurationId", "vpcEndpointId", "vpcEndpointOwner")...); err != nil {
			return err
		}
	}
	return r.attached(ctx, configuration)
}

func (r *reader) service(ctx context.Context, item object) error {
	id := item.text("id")
	service, err := call(ctx, r, r.client.GetService, &vpclattice.GetServiceInput{ServiceIdentifier: &id})
	if err != nil || service == nil {
		return err
	}
	note(&r.certificates, service.text("certificateArn"))
	// The importing node generates its own name: AWS's leads to AWS.
	err = r.tagged(ctx, "services", service, with("authType", "customDomainName", "certificateArn", "idleTimeoutSeconds")...)
	if err != nil {
		return err
	}
	in := &vpclattice.ListListenersInput{ServiceIdentifier: &id}
	listeners, err := list(ctx, r, r.client.ListListeners, in, &in.NextToken)
	if err != nil {
		return err
	}
	for _, listener := range listeners {
		if err := r.listener(ctx, id, listener.text("id")); err != nil {
			return err
		}
	}
	return r.attached(ctx, service)
}

func (r *reader) listener(ctx context.Context, service, id string) error {
	listener, err := call(ctx, r, r.client.GetListener, &vpclattice.GetListenerInput{ServiceIdentifier: &service, ListenerIdentifier: &id})
	if err != nil || listener == nil {
		return err
	}
	in := &vpclattice.ListRulesInput{ServiceIdentifier: &service, ListenerIdentifier: &id}
	rules, err := list(ctx, r, r.client.ListRules, in, &in.NextToken)
	if err != nil {
		return err
	}
	add := func(rule object) error {
		rule["serviceId"], rule["listenerId"] = service, id
		if isDefault, _ := rule["isDefault"].(bool); isDefault {
			listener["defaultRuleId"] = rule["id"]
			delete(rule, "priority") // A child has none of its own.
		}
		return r.tagged(ctx, "rules", rule, with("serviceId", "listenerId", "isDefault", "priority", "match", "action")...)
	}
	for _, item := range rules {
		ruleID := item.text("id")
		rule, err := call(ctx, r, r.client.GetRule, &vpclattice.GetRuleInput{ServiceIdentifier: &service, ListenerIdentifier: &id, RuleIdentifier: &ruleID})
		if err != nil {
			return err
		}
		if rule == nil {
			continue
		}
		if err := add(rule); err != nil {
			return err
		}
	}
	if listener["defaultRuleId"] == nil { // Some substitutes for AWS do not list it.
		rule := object{"id": "rule-" + derived(id), "name": "default", "isDefault": true, "action": listener["defaultAction"]}
		if err := add(rule); err != nil {
			return err
		}
	}
	listener["serviceId"] = service
	return r.tagged(ctx, "listeners", listener, with("serviceId", "protocol", "port", "defaultRuleId")...)
}

func (r *reader) serviceNetwork(ctx context.Context, item object) error {
	id := item.text("id")
	network, err := call(ctx, r, r.client.GetServiceNetwork, &vpclattice.GetServiceNetworkInput{ServiceNetworkIdentifier: &id})
	if err != nil || network == nil {
		return err
	}
	if err := r.tagged(ctx, "serviceNetworks", network, with("authType", "sharingConfig")...); err != nil {
		return err
	}
	for _, part := range []func(context.Context, string) error{r.servicesOf, r.vpcsOf, r.resourcesOf} {
		if err := part(ctx, id); err != nil {
			return err
		}
	}
	return r.attached(ctx, network)
}

func (r *reader) servicesOf(ctx context.Context, network string) error {
	in := &vpclattice.ListServiceNetworkServiceAssociationsInput{ServiceNetworkIdentifier: &network}
	associations, err := list(ctx, r, r.client.ListServiceNetworkServiceAssociations, in, &in.NextToken)
	if err != nil {
		return err
	}
	for _, a := range associations {
		service, ok := r.has("services", a.text("serviceId"))
		if !ok {
			note(&r.foreign, "the association "+a.text("id"))
			continue
		}
		a["serviceNetworkId"], a["customDomainName"] = network, service["customDomainName"]
		if err := r.tagged(ctx, "serviceNetworkServiceAssociations", a, with("serviceId", "serviceNetworkId", "customDomainName")...); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) vpcsOf(ctx context.Context, network string) error {
	in := &vpclattice.ListServiceNetworkVpcAssociationsInput{ServiceNetworkIdentifier: &network}
	associations, err := list(ctx, r, r.client.ListServiceNetworkVpcAssociations, in, &in.NextToken)
	if err != nil {
		return err
	}
	for _, item := range associations {
		id := item.text("id")
		a, err := call(ctx, r, r.client.GetServiceNetworkVpcAssociation, &vpclattice.GetServiceNetworkVpcAssociationInput{ServiceNetworkVpcAssociationIdentifier: &id})
		if err != nil {
			return err
		}
		if a == nil {
			a = item
		}
		a["serviceNetworkId"] = network
		note(&r.vpcs, a.text("vpcId"))
		err = r.tagged(ctx, "serviceNetworkVpcAssociations", a, with("serviceNetworkId", "vpcId", "securityGroupIds", "privateDnsEnabled", "dnsOptions")...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) resourcesOf(ctx context.Context, network string) error {
	children := true
	in := &vpclattice.ListServiceNetworkResourceAssociationsInput{ServiceNetworkIdentifier: &network, IncludeChildren: &children}
	associations, err := list(ctx, r, r.client.ListServiceNetworkResourceAssociations, in, &in.NextToken)
	if err != nil {
		return err
	}
	ofConfiguration := map[string]string{}
	for _, a := range associations {
		ofConfiguration[a.text("resourceConfigurationId")] = a.text("id")
	}
	for _, a := range associations {
		configuration, ok := r.has("resourceConfigurations", a.text("resourceConfigurationId"))
		if !ok {
			note(&r.foreign, "the association "+a.text("id"))
			continue
		}
		a["serviceNetworkId"] = network
		if group := configuration.text("groupId"); group != "" { // It came with its group's association, unless it is older.
			a["groupId"], a["groupAssociationId"] = group, ofConfiguration[group]
		}
		err := r.tagged(ctx, "serviceNetworkResourceAssociations", a,
			with("resourceConfigurationId", "serviceNetworkId", "groupId", "groupAssociationId", "privateDnsEnabled")...)
		if err != nil {
			return err
		}
	}
	return nil
}

// attached reads what services, service networks and resource configurations have beside themselves.
func (r *reader) attached(ctx context.Context, of object) error {
	id, arn := of.text("id"), of.text("arn")
	in := &vpclattice.ListAccessLogSubscriptionsInput{ResourceIdentifier: &id}
	subscriptions, err := list(ctx, r, r.client.ListAccessLogSubscriptions, in, &in.NextToken)
	if err != nil {
		return err
	}
	for _, s := range subscriptions {
		s["resourceId"] = id
		if err := r.tagged(ctx, "accessLogSubscriptions", s, with("resourceId", "destinationArn", "serviceNetworkLogType")...); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(id, "rcfg-") { // Nobody sends requests to a resource.
		policy, err := call(ctx, r, r.client.GetAuthPolicy, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: &id})
		if err != nil {
			return err
		}
		r.policy("authPolicies", id, policy)
	}
	policy, err := call(ctx, r, r.client.GetResourcePolicy, &vpclattice.GetResourcePolicyInput{ResourceArn: &arn})
	if err != nil {
		return err
	}
	r.policy("resourcePolicies", id, policy)
	return nil
}

func (r *reader) policy(section, id string, policy object) {
	if policy.text("policy") == "" {
		return
	}
	policy["resourceId"] = id
	r.add(section, policy, "resourceId", "policy", "createdAt", "lastUpdatedAt")
}

// tagged adds a resource with its tags.
func (r *reader) tagged(ctx context.Context, section string, resource object, names ...string) error {
	if arn := resource.text("arn"); arn != "" {
		answer, err := call(ctx, r, r.client.ListTagsForResource, &vpclattice.ListTagsForResourceInput{ResourceArn: &arn})
		if err != nil {
			return err
		}
		resource["tags"] = answer["tags"]
	}
	r.add(section, resource, append(names, "tags")...)
	return nil
}
