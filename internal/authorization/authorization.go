// Package authorization decides whether a caller may carry out an operation. It turns the call into the questions that IAM
// would ask (action, resource, condition keys), and puts them to the caller's identity policies, which package principal reads
// and package policy evaluates.
//
// It does not know what is stored: the tags of a resource come to it through the Resources interface.
package authorization

import (
	"cmp"
	"time"

	"trellis/internal/api"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/principal"
)

// Config is what an Authorizer works with.
type Config struct {
	Principals Principals
	Resources  Resources
	// Now tells the time. The default is time.Now.
	Now func() time.Time
}

// Principals knows who has which access key.
type Principals interface {
	Principal(accessKeyID string) (*principal.Principal, bool)
}

// Resources knows what is stored.
type Resources interface {
	// Resource returns a stored resource. It MUST NOT be changed.
	Resource(key lattice.Key) (lattice.Resource, bool)
}

// Authorizer implements api.Authorizer.
type Authorizer struct{ cfg Config }

// New returns an Authorizer.
func New(cfg Config) *Authorizer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Authorizer{cfg}
}

// Authorize implements api.Authorizer: the caller's policies must allow the action on every resource that the call
// needs, and none of them may deny it. Errors are AccessDeniedExceptions, also of operations for which the model has
// none.
func (a *Authorizer) Authorize(call api.Call) error {
	// The credentials may have changed since the signature was checked. A caller who is no longer in them has no policies.
	caller, ok := a.cfg.Principals.Principal(call.Caller.AccessKeyID)
	if !ok {
		caller = &principal.Principal{}
	}
	action := cmp.Or(call.Service, "vpc-lattice") + ":" + actionOf(call.Operation)
	for _, q := range questions(call) {
		request := &policy.Request{
			Caller: policy.Caller{
				ARN: call.Caller.Principal, Account: call.Caller.Account, RoleARN: caller.RoleARN,
				UserID: call.Caller.UserID, Tags: caller.Tags,
			},
			Action: action, Resource: q.resource, Now: a.cfg.Now(),
			Values: conditionKeys{call: call, request: q.keys, resource: a.stored(q.resource)},
		}
		decision, which := caller.Policies.Evaluate(request)
		if decision.Outcome != policy.Allowed {
			return api.AccessDenied(policy.Refusal(request, policy.Verdict{Decision: decision, Layer: policy.Identity, Policy: which}))
		}
	}
	return nil
}

// stored returns the resource that an ARN names, or nil if it names none, or many.
func (a *Authorizer) stored(arn string) lattice.Resource {
	parsed, ok := lattice.ParseARN(arn)
	if !ok {
		return nil
	}
	resource, _ := a.cfg.Resources.Resource(parsed.Key())
	return resource
}

// actionOf returns the action that an operation needs. It has the operation's name, except for BatchUpdateRule,
// which needs the permission for UpdateRule (API BatchUpdateRule).
func actionOf(operation string) string {
	if operation == "BatchUpdateRule" {
		return "UpdateRule"
	}
	return operation
}
