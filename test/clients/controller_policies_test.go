package clients_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// accessLogPolicyKey is the tag by which an access log policy finds its subscription again.
const accessLogPolicyKey = "application-networking.k8s.aws/AccessLogPolicy"

// The results for an access log policy other than a subscription.
var (
	errTargetNotFound = errors.New("the target of the policy was not found")
	errInvalid        = errors.New("the policy is invalid")
	errTaken          = errors.New("the subscription is another policy's")
)

// createAccessLog subscribes for a policy, and adopts a subscription that it has made before.
func (k *controller) createAccessLog(ctx context.Context, policy, source, destination string) (arn string, err error) {
	created, err := k.client.CreateAccessLogSubscription(ctx, &vpclattice.CreateAccessLogSubscriptionInput{
		ResourceIdentifier: &source, DestinationArn: &destination, Tags: map[string]string{accessLogPolicyKey: policy},
	})
	if err == nil {
		return *created.Arn, nil
	}
	if _, conflict := errors.AsType[*types.ConflictException](err); !conflict {
		return "", policyError(err)
	}
	list, err := k.client.ListAccessLogSubscriptions(ctx, &vpclattice.ListAccessLogSubscriptionsInput{ResourceIdentifier: &source})
	if err != nil {
		return "", err
	}
	for _, s := range list.Items {
		if *s.DestinationArn != destination {
			continue
		}
		tags, err := k.client.ListTagsForResource(ctx, &vpclattice.ListTagsForResourceInput{ResourceArn: s.Arn})
		if err != nil {
			return "", err
		}
		if tags.Tags[accessLogPolicyKey] == policy {
			return *s.Arn, nil
		}
	}
	return "", errTaken
}

// updateAccessLog moves a policy's subscription. It replaces one that cannot be moved, and creates one that is gone.
func (k *controller) updateAccessLog(ctx context.Context, policy, arn, source, destination string) (string, error) {
	current, err := k.client.GetAccessLogSubscription(ctx, &vpclattice.GetAccessLogSubscriptionInput{AccessLogSubscriptionIdentifier: &arn})
	switch {
	case isNotFound(err):
		return k.createAccessLog(ctx, policy, source, destination)
	case err != nil:
		return "", policyError(err)
	case *current.ResourceArn != source:
		return k.replaceAccessLog(ctx, policy, arn, source, destination)
	}
	updated, err := k.client.UpdateAccessLogSubscription(ctx, &vpclattice.UpdateAccessLogSubscriptionInput{
		AccessLogSubscriptionIdentifier: &arn, DestinationArn: &destination,
	})
	if err == nil {
		return *updated.Arn, nil
	}
	if _, conflict := errors.AsType[*types.ConflictException](err); conflict {
		return k.replaceAccessLog(ctx, policy, arn, source, destination)
	}
	return "", policyError(err)
}

func (k *controller) replaceAccessLog(ctx context.Context, policy, old, source, destination string) (string, error) {
	arn, err := k.createAccessLog(ctx, policy, source, destination)
	if err != nil {
		return "", err
	}
	_, err = k.client.DeleteAccessLogSubscription(ctx, &vpclattice.DeleteAccessLogSubscriptionInput{AccessLogSubscriptionIdentifier: &old})
	return arn, err
}

// policyError tells the branches of the controller apart: by the type, and of what was not found by its type of resource.
func policyError(err error) error {
	if _, denied := errors.AsType[*types.AccessDeniedException](err); denied {
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	if missing, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		if *missing.ResourceType == "SERVICE_NETWORK" || *missing.ResourceType == "SERVICE" {
			return fmt.Errorf("%w: %w", errTargetNotFound, err)
		}
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	return err
}

// accessLogs takes an access log policy through all branches of the controller.
func (k *controller) accessLogs(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	source := *must(k.client.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("logged")}))(t).Arn
	other := *must(k.client.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("logged-too")}))(t).Arn
	inAccount := func(tail string) string { return "arn:aws:vpc-lattice:us-west-2:" + k.account + ":" + tail }
	const bucket, otherBucket, stream = "arn:aws:s3:::access-logs", "arn:aws:s3:::other-access-logs", "arn:aws:firehose:us-west-2:999988887777:deliverystream/logs"

	for source, want := range map[string]error{
		inAccount("servicenetwork/sn-0123456789abcdef0"):                                 errTargetNotFound,
		inAccount("service/svc-0123456789abcdef0"):                                       errTargetNotFound,
		"arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0": errInvalid,
	} {
		if _, err := k.createAccessLog(ctx, "default/logs", source, bucket); !errors.Is(err, want) {
			t.Errorf("a policy for %s: %v", source, err)
		}
	}
	arn := must(k.createAccessLog(ctx, "default/logs", source, bucket))(t)
	if again := must(k.createAccessLog(ctx, "default/logs", source, bucket))(t); again != arn {
		t.Errorf("instead of adopting %s the controller got %s", arn, again)
	}
	if _, err := k.createAccessLog(ctx, "default/others", source, bucket); !errors.Is(err, errTaken) {
		t.Errorf("another policy with the same destination: %v", err)
	}
	for _, step := range []struct {
		what, source, destination string
		replaced                  bool
	}{
		{"another bucket", source, otherBucket, false},
		{"another type of destination", source, stream, true},
		{"another target", other, stream, true},
	} {
		moved := must(k.updateAccessLog(ctx, "default/logs", arn, step.source, step.destination))(t)
		if (moved != arn) != step.replaced {
			t.Errorf("for %s the subscription %s became %s", step.what, arn, moved)
		}
		shown := must(k.client.GetAccessLogSubscription(ctx, &vpclattice.GetAccessLogSubscriptionInput{AccessLogSubscriptionIdentifier: &moved}))(t)
		if *shown.DestinationArn != step.destination || *shown.ResourceArn != step.source {
			t.Errorf("after %s the subscription is %s to %s", step.what, *shown.ResourceArn, *shown.DestinationArn)
		}
		if step.replaced {
			_, err := k.client.GetAccessLogSubscription(ctx, &vpclattice.GetAccessLogSubscriptionInput{AccessLogSubscriptionIdentifier: &arn})
			if !isNotFound(err) {
				t.Errorf("after %s the old subscription is still there: %v", step.what, err)
			}
		}
		arn = moved
	}
	must(k.client.DeleteAccessLogSubscription(ctx, &vpclattice.DeleteAccessLogSubscriptionInput{AccessLogSubscriptionIdentifier: &arn}))(t)
	if created := must(k.updateAccessLog(ctx, "default/logs", arn, other, stream))(t); created == arn {
		t.Error("the subscription that was deleted is there again")
	}
}

// authPolicies puts an auth policy on every reconcile, and removes it twice.
func (k *controller) authPolicies(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	network := must(k.client.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("guarded")}))(t)
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestHeader/header1":"value1"}}}]}`
	for range 2 {
		must(k.client.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: network.Id, Policy: aws.String(policy)}))(t)
		must(k.client.UpdateServiceNetwork(ctx, &vpclattice.UpdateServiceNetworkInput{ServiceNetworkIdentifier: network.Id, AuthType: types.AuthTypeAwsIam}))(t)
	}
	shown := must(k.client.GetAuthPolicy(ctx, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: network.Arn}))(t)
	if aws.ToString(shown.Policy) != policy || shown.State != types.AuthPolicyStateActive {
		t.Errorf("the auth policy is %s %s", shown.State, aws.ToString(shown.Policy))
	}
	for range 2 {
		must(k.client.UpdateServiceNetwork(ctx, &vpclattice.UpdateServiceNetworkInput{ServiceNetworkIdentifier: network.Id, AuthType: types.AuthTypeNone}))(t)
		if _, err := k.client.DeleteAuthPolicy(ctx, &vpclattice.DeleteAuthPolicyInput{ResourceIdentifier: network.Id}); err != nil && !isNotFound(err) {
			t.Errorf("deleting the auth policy: %v", err)
		}
	}
}
