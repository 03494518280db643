package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// create runs a create operation at most once per client token: a retry with the same token and the same
// parameters gets the first response again, one with other parameters a ConflictException. fn writes
// the records and returns the response; like every function given to a transaction it may run more than once.
func create[In, Out any](ctx context.Context, c *Control, caller api.Caller, operation string, token *string, in *In, fn func(tx *catalog.Tx) (*Out, error)) (*Out, error) {
	if token == nil {
		return change(ctx, c, fn)
	}
	hash, err := parametersHash(in)
	if err != nil {
		return nil, err
	}
	key := lattice.TokenKey(caller.Scope(), operation, *token)
	return change(ctx, c, func(tx *catalog.Tx) (*Out, error) {
		if first, ok := catalog.Get[*lattice.Token](tx, key); ok {
			if first.ParametersHash != hash {
				return nil, api.Conflict("CLIENT_TOKEN", *token, fmt.Sprintf(
					"The client token %s was used by an earlier %s with other parameters. Use a new token for a new request.", *token, operation))
			}
			out := new(Out)
			return out, json.Unmarshal(first.Answer, out)
		}
		out, err := fn(tx)
		if err != nil {
			return nil, err
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("encoding the response to %s: %w", operation, err)
		}
		tx.PutExpiring(&lattice.Token{Scope: caller.Scope(), Operation: operation, Token: *token, ParametersHash: hash, Answer: answer})
		return out, nil
	})
}

// parametersHash digests an input. The token is part of it, which makes no difference: it is the same in all
// inputs that are compared.
func parametersHash(in any) (string, error) {
	parameters, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("encoding the parameters: %w", err)
	}
	sum := sha256.Sum256(parameters)
	return hex.EncodeToString(sum[:16]), nil
}

// newBase returns what a resource has when it is created.
func (c *Control) newBase(caller api.Caller, kind lattice.Kind, name *string, tags map[string]string) lattice.Base {
	now := c.now()
	failureCode, failureMessage := c.FailCreation(kind)
	return lattice.Base{
		ID:        lattice.NewID(kind),
		Name:      value(name),
		Scope:     caller.Scope(),
		CreatedAt: now,
		UpdatedAt: now,
		Lifecycle: lattice.Lifecycle{
			Phase: lattice.PhaseCreate, Until: now.Add(c.LifecycleDelay),
			FailureCode: failureCode, FailureMessage: failureMessage,
		},
		Tags: tags,
	}
}

// newActiveBase is newBase for a resource that has no status, since it exists at once.
func (c *Control) newActiveBase(caller api.Caller, kind lattice.Kind, name *string, tags map[string]string) lattice.Base {
	base := c.newBase(caller, kind, name, tags)
	base.Lifecycle = lattice.Lifecycle{}
	return base
}

// updated returns a copy of a resource, to be changed and put back.
func updated[R lattice.Resource](rec R, now time.Time) R {
	next := rec.Clone()
	next.Meta().UpdatedAt = now
	return next.(R)
}

// now is the time to the millisecond, as the API shows it.
func (c *Control) now() time.Time { return c.Now().UTC().Truncate(time.Millisecond) }

// ptr returns v as an optional member.
func ptr[T any](v T) *T { return &v }

// value returns an optional member, or the zero value when it is absent.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// present returns s as an optional member that is absent when it is empty.
func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
