package clients_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

const terraformAccount = "555555555555"

// terraform runs a configuration as Terraform and its provider for AWS do: resources that do not depend on each other are
// created and destroyed at the same time, each is waited for as the provider's waiters do, and a plan right after an apply
// must be empty. It runs with resources that take time, and with ones that take none.
func (e environment) terraform(t *testing.T) {
	t.Parallel()
	// A target that answers becomes HEALTHY with its first check; one that does not stays INITIAL for a while.
	instance := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(instance.Close)
	port := instance.Listener.Addr().(*net.TCPAddr).Port
	for _, delay := range []string{"0s", "2s"} {
		t.Run("WithLifecycleDelay"+delay, func(t *testing.T) {
			t.Parallel()
			p := trellistest.Start(t, e.trellis, "dev", "--lifecycle-delay", delay, "--deregistration-delay", "1s",
				"--dns-resolver", noResolver, "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
			c := devClient(t, p, terraformAccount)
			// First of all the provider asks in which account it is.
			identity := must(sts.New(sts.Options{Region: "us-west-2", BaseEndpoint: &p.API, Credentials: c.Options().Credentials}).
				GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{}))(t)
			if *identity.Account != terraformAccount {
				t.Errorf("the provider is in the account %s", *identity.Account)
			}
			newTerraform(t, c, int32(port)).run()
		})
	}
}

// terraform is Terraform with one configuration.
type terraform struct {
	t         *testing.T
	client    *vpclattice.Client
	resources []*configured

	mu    sync.Mutex // mu guards state.
	state map[string]resource
}

// configured is a resource of a configuration.
type configured struct {
	name string
	// needs are the resources to which it refers. They are there before it, and until it is gone.
	needs []string
	// Each step ends when its waiter does. update is nil for what cannot be updated.
	create, update, destroy func(ctx context.Context) error
	// plan says what differs from the configuration, which update changes.
	plan func(ctx context.Context) (string, error)
}

func (tf *terraform) run() {
	create := func(ctx context.Context, r *configured) error { return r.create(ctx) }
	update := func(ctx context.Context, r *configured) error {
		if r.update == nil {
			return nil
		}
		return r.update(ctx)
	}
	destroy := func(ctx context.Context, r *configured) error { return r.destroy(ctx) }

	tf.walk("apply", create, func(r *configured) []string { return r.needs })
	tf.expectEmptyPlan()
	tf.walk("update", update, func(*configured) []string { return nil })
	tf.expectEmptyPlan()
	tf.walk("destroy", destroy, tf.dependants)
	// Nothing is left that would prevent the next apply.
	tf.walk("second apply", create, func(r *configured) []string { return r.needs })
	tf.walk("second destroy", destroy, tf.dependants)
	tf.destroyWhileAssociated()
}

// destroyWhileAssociated destroys a resource configuration whose association is being deleted, but still exists.
func (tf *terraform) destroyWhileAssociated() {
	t, ctx := tf.t, tf.t.Context()
	step := func(name string, take func(r *configured) error) {
		t.Helper()
		i := slices.IndexFunc(tf.resources, func(r *configured) bool { return r.name == name })
		if err := take(tf.resources[i]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	create := func(r *configured) error { return r.create(ctx) }
	destroy := func(r *configured) error { return r.destroy(ctx) }
	for _, name := range []string{"service_network", "resource_gateway", "resource_configuration", "service_network_resource_association"} {
		step(name, create)
	}
	_, err := tf.client.DeleteResourceConfiguration(ctx, &vpclattice.DeleteResourceConfigurationInput{
		ResourceConfigurationIdentifier: aws.String(tf.recall("resource_configuration").id),
	})
	if !associatedWithNetworks(err) {
		t.Errorf("the provider would not try to delete again after %v", err)
	}
	must(tf.client.DeleteServiceNetworkResourceAssociation(ctx, &vpclattice.DeleteServiceNetworkResourceAssociationInput{
		ServiceNetworkResourceAssociationIdentifier: aws.String(tf.recall("service_network_resource_association").id),
	}))(t)
	step("resource_configuration", destroy)
	step("resource_gateway", destroy)
	step("service_network", destroy)
}

// walk takes a step with all resources at once, each as soon as those before it are done, as Terraform does.
func (tf *terraform) walk(step string, take func(context.Context, *configured) error, before func(*configured) []string) {
	tf.t.Helper()
	ctx, cancel := context.WithTimeout(tf.t.Context(), waitLimit)
	defer cancel()
	done := map[string]chan struct{}{}
	for _, r := range tf.resources {
		done[r.name] = make(chan struct{})
	}
	var all sync.WaitGroup
	for _, r := range tf.resources {
		all.Go(func() {
			for _, name := range before(r) {
				select {
				case <-done[name]:
				case <-ctx.Done():
					return
				}
			}
			if err := take(ctx, r); err != nil {
				tf.t.Errorf("%s of %s: %v", step, r.name, err)
				cancel()
				return
			}
			close(done[r.name])
		})
	}
	all.Wait()
	if tf.t.Failed() {
		tf.t.FailNow()
	}
}

// dependants are the resources that refer to a resource, and must be gone before it.
func (tf *terraform) dependants(r *configured) (names []string) {
	for _, other := range tf.resources {
		if slices.Contains(other.needs, r.name) {
			names = append(names, other.name)
		}
	}
	return names
}

func (tf *terraform) expectEmptyPlan() {
	tf.t.Helper()
	for _, r := range tf.resources {
		diff, err := r.plan(tf.t.Context())
		if err != nil || diff != "" {
			tf.t.Errorf("the plan for %s is not empty: %v\n%s", r.name, err, diff)
		}
	}
}

// remember and recall keep the result of a resource's creation.
func (tf *terraform) remember(name string, r resource) {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	tf.state[name] = r
}

func (tf *terraform) recall(name string) resource {
	tf.mu.Lock()
	defer tf.mu.Unlock()
	return tf.state[name]
}

// waiter waits as the provider's waiters do. A state that is neither pending nor a target is an error.
type waiter struct {
	pending, target []string // without a target, the resource must be deleted
	seen            int      // how many times in a row the target must be seen
	// state returns the state of the resource, or a ResourceNotFoundException.
	state func(ctx context.Context) (string, error)
}

// toleratedNotFounds is how many times in a row a waiter for a target accepts that a resource is not found.
const toleratedNotFounds = 20

func (w waiter) wait(ctx context.Context) error {
	found, absent := 0, 0
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 320*time.Millisecond) {
		state, err := w.state(ctx)
		switch {
		case isNotFound(err):
			if len(w.target) == 0 {
				return nil
			}
			if absent++; absent > toleratedNotFounds {
				return fmt.Errorf("waiting for %v: %w", w.target, err)
			}
			found = 0
		case err != nil:
			return err
		case slices.Contains(w.target, state):
			absent = 0
			if found++; found >= w.seen {
				return nil
			}
		case slices.Contains(w.pending, state):
			absent, found = 0, 0
		default:
			return fmt.Errorf("unexpected state %q while waiting for %v", state, w.target)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still %q while waiting for %v: %w", state, w.target, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func isNotFound(err error) bool {
	_, ok := errors.AsType[*types.ResourceNotFoundException](err)
	return ok
}

// clientToken is a token of the kind that the provider sends with every creation.
func clientToken() *string { return aws.String(fmt.Sprintf("terraform-%d", time.Now().UnixNano())) }

// managed is a resource with the usual operations.
type managed struct {
	name, kind string
	needs      []string
	// parents are members of every call.
	parents func() map[string]string
	// input is the creation, and wanted is what reading must show.
	input, wanted func() any
	// change is an update, and changed what reading must show after it; nil when there is none.
	change, changed any
	// creating, updating and deleting are the states that the waiters accept as pending; without any there is no waiter.
	creating, updating, deleting []string
	// retry says which errors of the deletion the provider tries again after.
	retry func(error) bool
}

func (tf *terraform) manage(m managed) *configured {
	key := func() map[string]string {
		key := map[string]string{m.kind + "Identifier": tf.recall(m.name).id}
		if m.parents != nil {
			for name, value := range m.parents() {
				key[name] = value
			}
		}
		return key
	}
	get := func(ctx context.Context) (any, error) { return call(ctx, tf.client, "Get"+m.kind, nil, key()) }
	status := func(ctx context.Context) (string, error) {
		output, err := get(ctx)
		if err != nil {
			return "", err
		}
		return member(output, "Status"), nil
	}
	active := func(ctx context.Context, pending []string) error {
		if pending == nil {
			return nil
		}
		return waiter{pending: pending, target: []string{"ACTIVE"}, seen: 2, state: status}.wait(ctx)
	}
	updated := false

	r := &configured{name: m.name, needs: m.needs}
	r.create = func(ctx context.Context) error {
		updated = false
		var parents map[string]string
		if m.parents != nil {
			parents = m.parents()
		}
		operation := "Create" + m.kind
		if m.kind == "DomainVerification" {
			operation = "StartDomainVerification"
		}
		output, err := call(ctx, tf.client, operation, m.input(), parents)
		if err != nil {
			return err
		}
		tf.remember(m.name, resource{id: member(output, "Id"), arn: member(output, "Arn")})
		if err := active(ctx, m.creating); err != nil {
			return err
		}
		_, err = get(ctx)
		return err
	}
	r.plan = func(ctx context.Context) (string, error) {
		output, err := get(ctx)
		if err != nil {
			return "", err
		}
		tags, err := tf.client.ListTagsForResource(ctx, &vpclattice.ListTagsForResourceInput{ResourceArn: aws.String(tf.recall(m.name).arn)})
		if err != nil || tags.Tags["managed-by"] != "terraform" {
			return fmt.Sprintf("the tags are %v", tags), err
		}
		if updated {
			return missing(output, m.changed), nil
		}
		return missing(output, m.wanted()), nil
	}
	if m.change != nil {
		r.update = func(ctx context.Context) error {
			updated = true
			if _, err := call(ctx, tf.client, "Update"+m.kind, m.change, key()); err != nil {
				return err
			}
			return active(ctx, m.updating)
		}
	}
	r.destroy = func(ctx context.Context) error {
		for {
			_, err := call(ctx, tf.client, "Delete"+m.kind, nil, key())
			if err == nil {
				break
			}
			if m.retry == nil || !m.retry(err) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(100 * time.Millisecond):
			}
		}
		if m.deleting != nil {
			if err := (waiter{pending: m.deleting, state: status}).wait(ctx); err != nil {
				return err
			}
		}
		// The provider notices that a resource has disappeared by itself, which is no error.
		if _, err := call(ctx, tf.client, "Delete"+m.kind, nil, key()); !isNotFound(err) {
			return fmt.Errorf("the second deletion of %s ended with %w", m.name, err)
		}
		return nil
	}
	return r
}

// attachment is the registration of one target. The provider looks for exactly it in the list of targets.
func (tf *terraform) attachment(name, group string, target types.Target) *configured {
	list := func(ctx context.Context) ([]types.TargetSummary, error) {
		out, err := tf.client.ListTargets(ctx, &vpclattice.ListTargetsInput{
			TargetGroupIdentifier: aws.String(tf.recall(group).id), Targets: []types.Target{target},
		})
		if err != nil {
			return nil, err
		}
		return out.Items, nil
	}
	status := func(ctx context.Context) (string, error) {
		targets, err := list(ctx)
		switch {
		case err != nil:
			return "", err
		case len(targets) == 0:
			return "", &types.ResourceNotFoundException{}
		case len(targets) > 1:
			return "", fmt.Errorf("%d targets are %s", len(targets), *target.Id)
		}
		return string(targets[0].Status), nil
	}
	r := &configured{name: name, needs: []string{group}}
	r.create = func(ctx context.Context) error {
		_, err := tf.client.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{
			TargetGroupIdentifier: aws.String(tf.recall(group).id), Targets: []types.Target{target},
		})
		if err != nil {
			return err
		}
		return waiter{pending: []string{"INITIAL"}, target: []string{"HEALTHY", "UNHEALTHY", "UNUSED", "UNAVAILABLE"}, seen: 2, state: status}.wait(ctx)
	}
	r.plan = func(ctx context.Context) (string, error) {
		targets, err := list(ctx)
		if err != nil || len(targets) != 1 {
			return fmt.Sprintf("the targets are %v", targets), err
		}
		// A function has no port, which the provider takes for 0.
		return missing(targets[0], types.TargetSummary{Id: target.Id, Port: target.Port}), nil
	}
	r.destroy = func(ctx context.Context) error {
		_, err := tf.client.DeregisterTargets(ctx, &vpclattice.DeregisterTargetsInput{
			TargetGroupIdentifier: aws.String(tf.recall(group).id), Targets: []types.Target{target},
		})
		if err != nil {
			return err
		}
		return waiter{pending: []string{"DRAINING", "INITIAL"}, state: status}.wait(ctx)
	}
	return r
}

// conflictOverUpdate reports whether a deletion came while an update, for which the provider does not wait, was going on.
func conflictOverUpdate(err error) bool {
	conflict, ok := errors.AsType[*types.ConflictException](err)
	return ok && strings.Contains(*conflict.Message, "UPDATE_IN_PROGRESS")
}
