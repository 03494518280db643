package control

import (
	"errors"
	"strings"
	"testing"

	"trellis/internal/shape"
)

func TestAuthPolicyMayHaveTenKilobytes(t *testing.T) {
	c := newClient(t)
	service := c.service("orders")
	const policy = `{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`
	fitting := policy + strings.Repeat(" ", maxAuthPolicyBytes-len(policy))
	out := call(c, c.c.PutAuthPolicy, &shape.PutAuthPolicyRequest{ResourceIdentifier: service, Policy: &fitting})
	if *out.Policy != fitting {
		t.Error("the policy was not returned byte for byte")
	}
	if got := call(c, c.c.GetAuthPolicy, &shape.GetAuthPolicyRequest{ResourceIdentifier: service}); *got.Policy != fitting {
		t.Error("the policy was not kept byte for byte")
	}
	_, err := c.c.PutAuthPolicy(t.Context(), c.caller, &shape.PutAuthPolicyRequest{ResourceIdentifier: service, Policy: ptr(fitting + " ")})
	if invalid, ok := errors.AsType[*shape.ValidationException](err); !ok || *invalid.FieldList[0].Name != "policy" {
		t.Errorf("a byte more: %v, want a ValidationException about policy", err)
	}
}
