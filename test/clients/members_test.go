package clients_test

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// policies puts both kinds of policies on a service, replaces them, reads them and deletes them.
func policies(w *world) {
	t, ctx, c := w.t, w.t.Context(), w.client
	service := w.of("Service", 1)
	unknown, foreign := aws.String("svc-0123456789abcdef0"), aws.String("arn:aws:vpc-lattice:us-west-2:999999999999:service/svc-0123456789abcdef0")

	for _, policy := range []string{
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*"}]}`,
		`{ "Version": "2012-10-17", "Statement": {"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"} }`,
	} {
		must(c.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: &service.id, Policy: &policy}))(t)
		shown := must(c.GetAuthPolicy(ctx, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: &service.arn}))(t)
		if aws.ToString(shown.Policy) != policy || shown.State != types.AuthPolicyStateInactive {
			t.Errorf("the auth policy is %s %s", shown.State, aws.ToString(shown.Policy))
		}
	}
	_, err := c.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: &service.id, Policy: aws.String(`{"Statement":[{"Effect":"Perhaps"}]}`)})
	if e := refusal[*types.ValidationException](t, err, http.StatusBadRequest); len(e.FieldList) != 1 || *e.FieldList[0].Name != "policy" {
		t.Errorf("invalid is %v", e.FieldList)
	}
	_, err = c.GetAuthPolicy(ctx, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: unknown})
	refusal[*types.ResourceNotFoundException](t, err, http.StatusNotFound)
	_, err = c.GetAuthPolicy(ctx, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: foreign})
	refusal[*types.AccessDeniedException](t, err, http.StatusForbidden)
	must(c.DeleteAuthPolicy(ctx, &vpclattice.DeleteAuthPolicyInput{ResourceIdentifier: &service.id}))(t)
	if gone := must(c.GetAuthPolicy(ctx, &vpclattice.GetAuthPolicyInput{ResourceIdentifier: &service.id}))(t); gone.Policy != nil {
		t.Errorf("the deleted auth policy is %s", *gone.Policy)
	}

	for _, account := range []string{"111122223333", "444455556666"} {
		policy := fmt.Sprintf(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":"vpc-lattice:GetService","Resource":"%s"}]}`, account, service.arn)
		must(c.PutResourcePolicy(ctx, &vpclattice.PutResourcePolicyInput{ResourceArn: &service.arn, Policy: &policy}))(t)
		shown := must(c.GetResourcePolicy(ctx, &vpclattice.GetResourcePolicyInput{ResourceArn: &service.arn}))(t)
		if aws.ToString(shown.Policy) != policy {
			t.Errorf("the resource policy is %s", aws.ToString(shown.Policy))
		}
	}
	_, err = c.GetResourcePolicy(ctx, &vpclattice.GetResourcePolicyInput{ResourceArn: foreign})
	refusal[*types.AccessDeniedException](t, err, http.StatusForbidden)
	must(c.DeleteResourcePolicy(ctx, &vpclattice.DeleteResourcePolicyInput{ResourceArn: &service.arn}))(t)
	if gone := must(c.GetResourcePolicy(ctx, &vpclattice.GetResourcePolicyInput{ResourceArn: &service.arn}))(t); gone.Policy != nil {
		t.Errorf("the deleted resource policy is %s", *gone.Policy)
	}
}

// targets are registered with a target group, listed in pages, found one by one, and deregistered.
func targets(w *world) {
	t, ctx, c := w.t, w.t.Context(), w.client
	group := aws.String(w.of("TargetGroup", 1).id)
	var members []types.Target
	for port := range int32(5) {
		members = append(members, types.Target{Id: aws.String("127.0.0.1"), Port: aws.Int32(port + 1)})
	}
	wrong := types.Target{Id: aws.String("not-an-address"), Port: aws.Int32(1)}
	registered := must(c.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: group, Targets: append(slices.Clip(members), wrong)}))(t)
	if diff := cmp.Diff(members, registered.Successful, cmpopts.IgnoreUnexported(types.Target{})); diff != "" {
		t.Errorf("others were registered (-want +got):\n%s", diff)
	}
	if len(registered.Unsuccessful) != 1 || *registered.Unsuccessful[0].Id != *wrong.Id {
		t.Errorf("the targets that were not registered are %v, want the wrong one", registered.Unsuccessful)
	}

	var listed []types.Target
	var sizes []int
	for p := vpclattice.NewListTargetsPaginator(c, &vpclattice.ListTargetsInput{TargetGroupIdentifier: group, MaxResults: aws.Int32(pageSize)}); p.HasMorePages(); {
		page := must(p.NextPage(ctx))(t)
		sizes = append(sizes, len(page.Items))
		for _, s := range page.Items {
			listed = append(listed, types.Target{Id: s.Id, Port: s.Port})
			if s.Status != types.TargetStatusUnused || aws.ToString(s.ReasonCode) != "TargetGroupNotInUse" {
				t.Errorf("a target of a group that nothing uses is %s, %s", s.Status, aws.ToString(s.ReasonCode))
			}
		}
	}
	if diff := cmp.Diff(members, listed, cmpopts.IgnoreUnexported(types.Target{})); diff != "" || !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("in pages of %v, others are listed (-want +got):\n%s", sizes, diff)
	}
	found := must(c.ListTargets(ctx, &vpclattice.ListTargetsInput{TargetGroupIdentifier: group, Targets: members[2:3]}))(t)
	if len(found.Items) != 1 || *found.Items[0].Port != *members[2].Port {
		t.Errorf("looking for one target finds %v", found.Items)
	}

	_, err := c.DeleteTargetGroup(ctx, &vpclattice.DeleteTargetGroupInput{TargetGroupIdentifier: group})
	refusal[*types.ConflictException](t, err, http.StatusConflict)
	deregistered := must(c.DeregisterTargets(ctx, &vpclattice.DeregisterTargetsInput{TargetGroupIdentifier: group, Targets: members}))(t)
	if len(deregistered.Successful) != len(members) || len(deregistered.Unsuccessful) > 0 {
		t.Errorf("the targets that were not deregistered are %v, want none", deregistered.Unsuccessful)
	}
	if left := must(c.ListTargets(ctx, &vpclattice.ListTargetsInput{TargetGroupIdentifier: group}))(t); len(left.Items) > 0 {
		t.Errorf("the targets that are left are %v, want none", left.Items)
	}
}

// ruleUpdates lets two rules swap their priorities in one call.
func ruleUpdates(w *world) {
	one, two := w.of("Rule", 1), w.of("Rule", 2)
	out := must(w.client.BatchUpdateRule(w.t.Context(), &vpclattice.BatchUpdateRuleInput{
		ServiceIdentifier: aws.String(w.of("Service", 1).id), ListenerIdentifier: aws.String(w.of("Listener", 1).arn),
		Rules: []types.RuleUpdate{
			{RuleIdentifier: &one.arn, Priority: aws.Int32(12)},
			{RuleIdentifier: &two.id, Priority: aws.Int32(11)},
			{RuleIdentifier: aws.String("rule-0123456789abcdef0"), Priority: aws.Int32(13)},
		},
	}))(w.t)
	if len(out.Successful) != 2 || *out.Successful[0].Priority != 12 || *out.Successful[1].Priority != 11 {
		w.t.Errorf("the updated rules are %v, want both with swapped priorities", out.Successful)
	}
	if len(out.Unsuccessful) != 1 || *out.Unsuccessful[0].RuleIdentifier != "rule-0123456789abcdef0" {
		w.t.Errorf("the rules that were not updated are %v, want the unknown one", out.Unsuccessful)
	}
}
