package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// policiesAndLogs is what is attached to the services and the service networks of the configuration.
func (tf *terraform) policiesAndLogs() []*configured {
	tags := map[string]string{"managed-by": "terraform"}
	// log is an access log subscription. AWS, and the server, let the ARN of a log group end in ":*", which the
	// provider takes for the same.
	log := func(name, resource, destination, shown string, logType types.ServiceNetworkLogType) *configured {
		return tf.manage(managed{
			name: name, kind: "AccessLogSubscription", needs: []string{resource},
			input: func() any {
				return &vpclattice.CreateAccessLogSubscriptionInput{
					ClientToken: clientToken(), ResourceIdentifier: aws.String(tf.recall(resource).id), DestinationArn: &destination, Tags: tags,
				}
			},
			wanted: func() any {
				return &vpclattice.GetAccessLogSubscriptionOutput{
					ResourceId: aws.String(tf.recall(resource).id), ResourceArn: aws.String(tf.recall(resource).arn), DestinationArn: &shown, ServiceNetworkLogType: logType,
				}
			},
		})
	}
	return []*configured{
		log("access_log_subscription", "service", "arn:aws:logs:us-west-2:555555555555:log-group:/web", "arn:aws:logs:us-west-2:555555555555:log-group:/web:*", ""),
		log("network_access_log_subscription", "service_network", "arn:aws:s3:::the-access-logs", "arn:aws:s3:::the-access-logs", types.ServiceNetworkLogTypeService),
		tf.policy("auth_policy", "service_network",
			`{"Version":"2012-10-17","Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*","Condition":{"StringNotEqualsIgnoreCase":{"aws:PrincipalType":"anonymous"}}}]}`,
			func(ctx context.Context, resource resource, policy string) error {
				_, err := tf.client.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: &resource.arn, Policy: &policy})
				return err
			},
			func(ctx context.Context, resource resource) (*string, error) {
				out, err := tf.client.GetAuthPolicy(ctx, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: &resource.arn})
				if err != nil {
					return nil, err
				}
				return out.Policy, nil
			},
			func(ctx context.Context, resource resource) error {
				_, err := tf.client.DeleteAuthPolicy(ctx, &vpclattice.DeleteAuthPolicyInput{ResourceIdentifier: &resource.arn})
				return err
			}),
		tf.policy("resource_policy", "service_network",
			`{"Version":"2012-10-17","Statement":[{"Sid":"test-pol-principals-6","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":["vpc-lattice:CreateServiceNetworkVpcAssociation","vpc-lattice:GetServiceNetwork"],"Resource":"*"}]}`,
			func(ctx context.Context, resource resource, policy string) error {
				_, err := tf.client.PutResourcePolicy(ctx, &vpclattice.PutResourcePolicyInput{ResourceArn: &resource.arn, Policy: &policy})
				return err
			},
			func(ctx context.Context, resource resource) (*string, error) {
				out, err := tf.client.GetResourcePolicy(ctx, &vpclattice.GetResourcePolicyInput{ResourceArn: &resource.arn})
				if err != nil {
					return nil, err
				}
				return out.Policy, nil
			},
			func(ctx context.Context, resource resource) error {
				_, err := tf.client.DeleteResourcePolicy(ctx, &vpclattice.DeleteResourcePolicyInput{ResourceArn: &resource.arn})
				return err
			}),
	}
}

// policy is a policy of a resource. It is gone when it is not found, or when the response has none.
func (tf *terraform) policy(
	name, on, text string,
	put func(ctx context.Context, resource resource, policy string) error,
	get func(ctx context.Context, resource resource) (*string, error),
	remove func(ctx context.Context, resource resource) error,
) *configured {
	r := &configured{name: name, needs: []string{on}}
	r.create = func(ctx context.Context) error { return put(ctx, tf.recall(on), text) }
	r.update = r.create
	r.plan = func(ctx context.Context) (string, error) {
		shown, err := get(ctx, tf.recall(on))
		if err != nil || shown == nil {
			return "there is no policy", err
		}
		var want, got any
		if json.Unmarshal([]byte(text), &want) != nil || json.Unmarshal([]byte(*shown), &got) != nil || !reflect.DeepEqual(want, got) {
			return fmt.Sprintf("the policy is %s", *shown), nil
		}
		return "", nil
	}
	r.destroy = func(ctx context.Context) error {
		if err := remove(ctx, tf.recall(on)); err != nil && !isNotFound(err) {
			return err
		}
		shown, err := get(ctx, tf.recall(on))
		if err == nil && shown != nil {
			return fmt.Errorf("after its deletion the policy is %s", *shown)
		}
		if err != nil && !isNotFound(err) {
			return err
		}
		return nil
	}
	return r
}
