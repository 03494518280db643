package control

import (
	"context"

	"trellis/internal/api"
	"trellis/internal/shape"
)

// The operations of this file are not built yet and say so. cmd/apigen reads this file for docs/coverage.md.

func (c *Control) CreateAccessLogSubscription(context.Context, api.Caller, *shape.CreateAccessLogSubscriptionRequest) (*shape.CreateAccessLogSubscriptionResponse, error) {
	return nil, api.NotImplemented("CreateAccessLogSubscription")
}

func (c *Control) CreateResourceConfiguration(context.Context, api.Caller, *shape.CreateResourceConfigurationRequest) (*shape.CreateResourceConfigurationResponse, error) {
	return nil, api.NotImplemented("CreateResourceConfiguration")
}

func (c *Control) CreateResourceGateway(context.Context, api.Caller, *shape.CreateResourceGatewayRequest) (*shape.CreateResourceGatewayResponse, error) {
	return nil, api.NotImplemented("CreateResourceGateway")
}

func (c *Control) CreateServiceNetworkResourceAssociation(context.Context, api.Caller, *shape.CreateServiceNetworkResourceAssociationRequest) (*shape.CreateServiceNetworkResourceAssociationResponse, error) {
	return nil, api.NotImplemented("CreateServiceNetworkResourceAssociation")
}

func (c *Control) DeleteAccessLogSubscription(context.Context, api.Caller, *shape.DeleteAccessLogSubscriptionRequest) (*shape.DeleteAccessLogSubscriptionResponse, error) {
	return nil, api.NotImplemented("DeleteAccessLogSubscription")
}

func (c *Control) DeleteAuthPolicy(context.Context, api.Caller, *shape.DeleteAuthPolicyRequest) (*shape.DeleteAuthPolicyResponse, error) {
	return nil, api.NotImplemented("DeleteAuthPolicy")
}

func (c *Control) DeleteDomainVerification(context.Context, api.Caller, *shape.DeleteDomainVerificationRequest) (*shape.DeleteDomainVerificationResponse, error) {
	return nil, api.NotImplemented("DeleteDomainVerification")
}

func (c *Control) DeleteResourceConfiguration(context.Context, api.Caller, *shape.DeleteResourceConfigurationRequest) (*shape.DeleteResourceConfigurationResponse, error) {
	return nil, api.NotImplemented("DeleteResourceConfiguration")
}

func (c *Control) DeleteResourceEndpointAssociation(context.Context, api.Caller, *shape.DeleteResourceEndpointAssociationRequest) (*shape.DeleteResourceEndpointAssociationResponse, error) {
	return nil, api.NotImplemented("DeleteResourceEndpointAssociation")
}

func (c *Control) DeleteResourceGateway(context.Context, api.Caller, *shape.DeleteResourceGatewayRequest) (*shape.DeleteResourceGatewayResponse, error) {
	return nil, api.NotImplemented("DeleteResourceGateway")
}

func (c *Control) DeleteResourcePolicy(context.Context, api.Caller, *shape.DeleteResourcePolicyRequest) (*shape.DeleteResourcePolicyResponse, error) {
	return nil, api.NotImplemented("DeleteResourcePolicy")
}

func (c *Control) DeleteServiceNetworkResourceAssociation(context.Context, api.Caller, *shape.DeleteServiceNetworkResourceAssociationRequest) (*shape.DeleteServiceNetworkResourceAssociationResponse, error) {
	return nil, api.NotImplemented("DeleteServiceNetworkResourceAssociation")
}

func (c *Control) GetAccessLogSubscription(context.Context, api.Caller, *shape.GetAccessLogSubscriptionRequest) (*shape.GetAccessLogSubscriptionResponse, error) {
	return nil, api.NotImplemented("GetAccessLogSubscription")
}

func (c *Control) GetAuthPolicy(context.Context, api.Caller, *shape.GetAuthPolicyRequest) (*shape.GetAuthPolicyResponse, error) {
	return nil, api.NotImplemented("GetAuthPolicy")
}

func (c *Control) GetDomainVerification(context.Context, api.Caller, *shape.GetDomainVerificationRequest) (*shape.GetDomainVerificationResponse, error) {
	return nil, api.NotImplemented("GetDomainVerification")
}

func (c *Control) GetResourceConfiguration(context.Context, api.Caller, *shape.GetResourceConfigurationRequest) (*shape.GetResourceConfigurationResponse, error) {
	return nil, api.NotImplemented("GetResourceConfiguration")
}

func (c *Control) GetResourceGateway(context.Context, api.Caller, *shape.GetResourceGatewayRequest) (*shape.GetResourceGatewayResponse, error) {
	return nil, api.NotImplemented("GetResourceGateway")
}

func (c *Control) GetResourcePolicy(context.Context, api.Caller, *shape.GetResourcePolicyRequest) (*shape.GetResourcePolicyResponse, error) {
	return nil, api.NotImplemented("GetResourcePolicy")
}

func (c *Control) GetServiceNetworkResourceAssociation(context.Context, api.Caller, *shape.GetServiceNetworkResourceAssociationRequest) (*shape.GetServiceNetworkResourceAssociationResponse, error) {
	return nil, api.NotImplemented("GetServiceNetworkResourceAssociation")
}

func (c *Control) ListAccessLogSubscriptions(context.Context, api.Caller, *shape.ListAccessLogSubscriptionsRequest) (*shape.ListAccessLogSubscriptionsResponse, error) {
	return nil, api.NotImplemented("ListAccessLogSubscriptions")
}

func (c *Control) ListDomainVerifications(context.Context, api.Caller, *shape.ListDomainVerificationsRequest) (*shape.ListDomainVerificationsResponse, error) {
	return nil, api.NotImplemented("ListDomainVerifications")
}

func (c *Control) ListResourceConfigurations(context.Context, api.Caller, *shape.ListResourceConfigurationsRequest) (*shape.ListResourceConfigurationsResponse, error) {
	return nil, api.NotImplemented("ListResourceConfigurations")
}

func (c *Control) ListResourceEndpointAssociations(context.Context, api.Caller, *shape.ListResourceEndpointAssociationsRequest) (*shape.ListResourceEndpointAssociationsResponse, error) {
	return nil, api.NotImplemented("ListResourceEndpointAssociations")
}

func (c *Control) ListResourceGateways(context.Context, api.Caller, *shape.ListResourceGatewaysRequest) (*shape.ListResourceGatewaysResponse, error) {
	return nil, api.NotImplemented("ListResourceGateways")
}

func (c *Control) ListServiceNetworkResourceAssociations(context.Context, api.Caller, *shape.ListServiceNetworkResourceAssociationsRequest) (*shape.ListServiceNetworkResourceAssociationsResponse, error) {
	return nil, api.NotImplemented("ListServiceNetworkResourceAssociations")
}

func (c *Control) ListServiceNetworkVpcEndpointAssociations(context.Context, api.Caller, *shape.ListServiceNetworkVpcEndpointAssociationsRequest) (*shape.ListServiceNetworkVpcEndpointAssociationsResponse, error) {
	return nil, api.NotImplemented("ListServiceNetworkVpcEndpointAssociations")
}

func (c *Control) PutAuthPolicy(context.Context, api.Caller, *shape.PutAuthPolicyRequest) (*shape.PutAuthPolicyResponse, error) {
	return nil, api.NotImplemented("PutAuthPolicy")
}

func (c *Control) PutResourcePolicy(context.Context, api.Caller, *shape.PutResourcePolicyRequest) (*shape.PutResourcePolicyResponse, error) {
	return nil, api.NotImplemented("PutResourcePolicy")
}

func (c *Control) StartDomainVerification(context.Context, api.Caller, *shape.StartDomainVerificationRequest) (*shape.StartDomainVerificationResponse, error) {
	return nil, api.NotImplemented("StartDomainVerification")
}

func (c *Control) UpdateAccessLogSubscription(context.Context, api.Caller, *shape.UpdateAccessLogSubscriptionRequest) (*shape.UpdateAccessLogSubscriptionResponse, error) {
	return nil, api.NotImplemented("UpdateAccessLogSubscription")
}

func (c *Control) UpdateResourceConfiguration(context.Context, api.Caller, *shape.UpdateResourceConfigurationRequest) (*shape.UpdateResourceConfigurationResponse, error) {
	return nil, api.NotImplemented("UpdateResourceConfiguration")
}

func (c *Control) UpdateResourceGateway(context.Context, api.Caller, *shape.UpdateResourceGatewayRequest) (*shape.UpdateResourceGatewayResponse, error) {
	return nil, api.NotImplemented("UpdateResourceGateway")
}
