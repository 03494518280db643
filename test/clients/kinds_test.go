package clients_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/google/go-cmp/cmp"
)

// kind declares what the SDK for Go does with a kind of resource. kinds.json declares the same for the other clients.
type kind struct {
	name         string // as in the operations
	prefix       string // of ids
	resourceType string // in errors
	count        int    // how many are created, which uses up the quota
	quotaCode    string // empty when none is known
	before       int    // how many items come first in the list without having been created
	// parents are members of every call.
	parents func(w *world) map[string]string
	// create returns the nth creation, get what reading it must show.
	create, get func(w *world, n int) any
	// update is a change of the first resource, or nil if it cannot be changed; updated is what reading must show after it.
	update, updated any
	list            func(c *vpclattice.Client, w *world) lister
	// invalid is a member, and a value of it that must be refused.
	invalid [2]string
}

// resource is what has been created.
type resource struct{ id, arn string }

// world holds what the resources of a kind need, and creates it on demand.
type world struct {
	t         *testing.T
	client    *vpclattice.Client
	kinds     []kind
	made      map[string]resource
	deletions []func()
}

// everyKindThroughGo takes some resources of every kind from creation to deletion. The quotas must be those of
// kinds.json.
func everyKindThroughGo(t *testing.T, c *vpclattice.Client) {
	called := map[string]bool{}
	c = recording(c, func(operation string) { called[operation] = true })
	// One after another, since the lists and the quotas are those of the account.
	in := func(name string, live func(w *world)) {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, client: c, kinds: kinds(), made: map[string]resource{}}
			live(w)
			for _, remove := range slices.Backward(w.deletions) {
				remove()
			}
		})
	}
	for _, k := range kinds() {
		in(k.name, k.live)
	}
	in("Policies", policies)
	in("Targets", targets)
	in("RuleUpdates", ruleUpdates)
	for _, operation := range operations() {
		// Operations on endpoints need an inventory, and have a test of their own.
		if !called[operation] && !strings.Contains(operation, "Endpoint") {
			t.Errorf("nobody has called %s", operation)
		}
	}
}

// of returns the nth resource of another kind.
func (w *world) of(name string, n int) resource {
	w.t.Helper()
	key := fmt.Sprintf("%s %d", name, n)
	if made, ok := w.made[key]; ok {
		return made
	}
	k := w.kinds[slices.IndexFunc(w.kinds, func(k kind) bool { return k.name == name })]
	made := k.createOne(w, n)
	w.made[key] = made
	w.deletions = append(w.deletions, func() { k.must(w, "Delete", k.key(w, made.id)) })
	return made
}

func (k kind) live(w *world) {
	t := w.t
	created := []resource{k.createOne(w, 1)}
	k.meetRefusals(w, created[0])
	for n := 2; n <= k.count; n++ {
		created = append(created, k.createOne(w, n))
	}
	if k.quotaCode != "" {
		_, err := k.tryCreate(w, k.count+1)
		refused := refusal[*types.ServiceQuotaExceededException](t, err, http.StatusPaymentRequired)
		if *refused.QuotaCode != k.quotaCode || *refused.ServiceCode != "vpc-lattice" || *refused.ResourceType == "" {
			t.Errorf("the quota is told as %s of %s", *refused.QuotaCode, *refused.ServiceCode)
		}
	}

	for i, r := range created {
		byID := k.must(w, "Get", k.key(w, r.id))
		byARN := k.must(w, "Get", k.key(w, r.arn))
		if diff := missing(byID, byARN) + missing(byARN, byID); diff != "" {
			t.Errorf("the id and the ARN show different things:\n%s", diff)
		}
		if diff := missing(byID, k.get(w, i+1)); diff != "" {
			t.Errorf("reading shows what was not created:\n%s", diff)
		}
		if field := reflect.ValueOf(byID).Elem().FieldByName("CreatedAt"); field.IsNil() {
			t.Error("reading does not show when it was created")
		}
	}
	k.expectList(w, created)
	k.tag(w, created[0])

	if k.update != nil {
		if _, err := call(t.Context(), w.client, "Update"+k.name, k.update, k.key(w, created[0].id)); err != nil {
			t.Fatal(err)
		}
		if diff := missing(k.must(w, "Get", k.key(w, created[0].id)), k.updated); diff != "" {
			t.Errorf("reading does not show the update:\n%s", diff)
		}
	}

	for i, r := range created {
		identifier := r.id
		if i%2 == 1 {
			identifier = r.arn
		}
		if status := member(k.must(w, "Delete", k.key(w, identifier)), "Status"); status != "" && status != "DELETE_IN_PROGRESS" {
			t.Errorf("deleting answers with the status %s", status)
		}
		_, err := call(t.Context(), w.client, "Get"+k.name, nil, k.key(w, r.id))
		refusal[*types.ResourceNotFoundException](t, err, http.StatusNotFound)
	}
}

func (k kind) createOne(w *world, n int) resource {
	w.t.Helper()
	output, err := k.tryCreate(w, n)
	if err != nil {
		w.t.Fatal(err)
	}
	r := resource{id: member(output, "Id"), arn: member(output, "Arn")}
	if !regexp.MustCompile("^" + k.prefix + "-[0-9a-f]{17}$").MatchString(r.id) {
		w.t.Errorf("the id of the %s is %s", k.name, r.id)
	}
	if !strings.HasSuffix(r.arn, "/"+r.id) {
		w.t.Errorf("the ARN of the %s is %s", k.name, r.arn)
	}
	return r
}

func (k kind) tryCreate(w *world, n int) (any, error) {
	return call(w.t.Context(), w.client, k.creation(), k.create(w, n), k.parentMembers(w))
}

// creation is the operation that creates resources of the kind.
func (k kind) creation() string {
	if k.name == "DomainVerification" {
		return "StartDomainVerification"
	}
	return "Create" + k.name
}

// must performs an operation on one resource.
func (k kind) must(w *world, verb string, key map[string]string) any {
	w.t.Helper()
	output, err := call(w.t.Context(), w.client, verb+k.name, nil, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return output
}

// key is the members that name a resource.
func (k kind) key(w *world, identifier string) map[string]string {
	key := k.parentMembers(w)
	key[k.name+"Identifier"] = identifier
	return key
}

func (k kind) parentMembers(w *world) map[string]string {
	if k.parents == nil {
		return map[string]string{}
	}
	return maps.Clone(k.parents(w))
}

// meetRefusals gets each type of error as the SDK's own, while there is one resource.
func (k kind) meetRefusals(w *world, first resource) {
	t := w.t
	unknown := k.prefix + "-0123456789abcdef0"
	_, err := call(t.Context(), w.client, "Get"+k.name, nil, k.key(w, unknown))
	if e := refusal[*types.ResourceNotFoundException](t, err, http.StatusNotFound); *e.ResourceType != k.resourceType || *e.ResourceId != unknown {
		t.Errorf("not found is %s %s", *e.ResourceType, *e.ResourceId)
	}
	foreign := regexp.MustCompile(`:[0-9]{12}:`).ReplaceAllString(first.arn, ":999999999999:")
	_, err = call(t.Context(), w.client, "Get"+k.name, nil, k.key(w, foreign))
	refusal[*types.AccessDeniedException](t, err, http.StatusForbidden)

	_, err = k.tryCreate(w, 1)
	if e := refusal[*types.ConflictException](t, err, http.StatusConflict); *e.ResourceType != k.resourceType || *e.ResourceId != first.id {
		t.Errorf("the conflict is with %s %s", *e.ResourceType, *e.ResourceId)
	}

	wrong := k.parentMembers(w)
	wrong[k.invalid[0]] = k.invalid[1]
	_, err = call(t.Context(), w.client, k.creation(), k.create(w, 1), wrong)
	e := refusal[*types.ValidationException](t, err, http.StatusBadRequest)
	if e.Reason != types.ValidationExceptionReasonFieldValidationFailed || len(e.FieldList) != 1 || !strings.EqualFold(*e.FieldList[0].Name, k.invalid[0]) {
		t.Errorf("invalid is %s %v", e.Reason, e.FieldList)
	}
}

func (k kind) expectList(w *world, created []resource) {
	pages, err := k.list(w.client, w)(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for i, page := range pages {
		if len(page) != pageSize && i < len(pages)-1 {
			w.t.Errorf("page %d has %d items", i, len(page))
		}
	}
	var want []string
	for _, r := range created {
		want = append(want, r.arn)
	}
	if diff := cmp.Diff(want, slices.Concat(pages...)[k.before:]); diff != "" {
		w.t.Errorf("the list is not in order of creation (-want +got):\n%s", diff)
	}
}

func (k kind) tag(w *world, r resource) {
	t, c := w.t, w.client
	expect := func(want map[string]string) {
		t.Helper()
		out, err := c.ListTagsForResource(t.Context(), &vpclattice.ListTagsForResourceInput{ResourceArn: &r.arn})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.Tags); diff != "" {
			t.Errorf("the tags are others (-want +got):\n%s", diff)
		}
	}
	_, err := c.TagResource(t.Context(), &vpclattice.TagResourceInput{ResourceArn: &r.arn, Tags: map[string]string{"number": "one", "empty": ""}})
	if err != nil {
		t.Fatal(err)
	}
	expect(map[string]string{"number": "one", "empty": ""})
	_, err = c.UntagResource(t.Context(), &vpclattice.UntagResourceInput{ResourceArn: &r.arn, TagKeys: []string{"number", "never-was"}})
	if err != nil {
		t.Fatal(err)
	}
	expect(map[string]string{"empty": ""})
}

// pageSize is small enough for every list to have several pages.
const pageSize = 2

// lister returns the ARNs of a list, page by page.
type lister func(ctx context.Context) ([][]string, error)

// paged reads a list through the SDK's paginator.
func paged[Out any](paginator interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*vpclattice.Options)) (*Out, error)
}) lister {
	return func(ctx context.Context) (pages [][]string, err error) {
		for paginator.HasMorePages() {
			out, err := paginator.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			var arns []string
			items := reflect.ValueOf(out).Elem().FieldByName("Items")
			for i := range items.Len() {
				arns = append(arns, member(items.Index(i).Interface(), "Arn"))
			}
			pages = append(pages, arns)
		}
		return pages, nil
	}
}
