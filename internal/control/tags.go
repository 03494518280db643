package control

import (
	"context"
	"maps"
	"slices"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// TagResource adds tags to a resource of any kind, and replaces the values of tags that it already has.
func (c *Control) TagResource(ctx context.Context, caller api.Caller, in *shape.TagResourceRequest) (*shape.TagResourceResponse, error) {
	if err := invalid(lattice.TagProblems(in.Tags)); err != nil {
		return nil, err
	}
	err := c.retag(ctx, caller, *in.ResourceArn, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
	if err != nil {
		return nil, err
	}
	return &shape.TagResourceResponse{}, nil
}

// UntagResource removes tags from a resource of any kind. A key that the resource does not have is no error: the model
// calls the operation idempotent (API UntagResource).
func (c *Control) UntagResource(ctx context.Context, caller api.Caller, in *shape.UntagResourceRequest) (*shape.UntagResourceResponse, error) {
	err := c.retag(ctx, caller, *in.ResourceArn, func(tags map[string]string) {
		maps.DeleteFunc(tags, func(key, _ string) bool { return slices.Contains(in.TagKeys, key) })
	})
	if err != nil {
		return nil, err
	}
	return &shape.UntagResourceResponse{}, nil
}

// ListTagsForResource returns the tags of a resource of any kind, an empty map when it has none.
func (c *Control) ListTagsForResource(_ context.Context, caller api.Caller, in *shape.ListTagsForResourceRequest) (*shape.ListTagsForResourceResponse, error) {
	return read(c, func(v catalog.View) (*shape.ListTagsForResourceResponse, error) {
		rec, err := findByARN(v, caller, *in.ResourceArn)
		if err != nil {
			return nil, err
		}
		out := &shape.ListTagsForResourceResponse{Tags: map[string]string{}}
		maps.Copy(out.Tags, rec.Meta().Tags)
		return out, nil
	})
}

// retag replaces the tags of a resource by a copy to which change was applied. The resource's lastUpdatedAt stays: tags are
// not part of it. A resource that is being deleted can be tagged while it can be seen.
func (c *Control) retag(ctx context.Context, caller api.Caller, arn string, change func(tags map[string]string)) error {
	return c.commit(ctx, func(tx *catalog.Tx) error {
		rec, err := findByARN(tx, caller, arn)
		if err != nil {
			return err
		}
		tags := maps.Clone(rec.Meta().Tags)
		if tags == nil {
			tags = map[string]string{}
		}
		change(tags)
		if maps.Equal(tags, rec.Meta().Tags) {
			return nil
		}
		if err := invalid(lattice.TagCountProblem(tags)); err != nil {
			return err
		}
		tagged := rec.Clone()
		tagged.Meta().Tags = tags
		tx.Put(tagged)
		return nil
	})
}

// findByARN returns the resource that an ARN names, of whatever kind. As in find, another account's is refused.
func findByARN(v catalog.View, caller api.Caller, arn string) (lattice.Resource, error) {
	a, ok := lattice.ParseARN(arn)
	if !ok {
		return nil, api.NotFound("RESOURCE", arn)
	}
	if a.Scope.Account != caller.Account {
		return nil, foreignAccount(caller, arn, a.Scope.Account)
	}
	if a.Scope == caller.Scope() {
		// The whole ARN is compared, since its key leaves out the words before the ids of a resource's parents.
		if rec, ok := catalog.Get[lattice.Resource](v, a.Key()); ok && withoutPartition(rec.ARN()) == withoutPartition(arn) {
			return rec, nil
		}
	}
	resourceType, ok := resourceTypes[a.Kind]
	if !ok {
		resourceType = "RESOURCE"
	}
	if a.Scope.Region != caller.Region {
		return nil, elsewhere(caller, resourceType, arn, a.Scope.Region)
	}
	return nil, api.NotFound(resourceType, arn)
}

// withoutPartition removes "arn:aws:", so that the ARNs of all partitions name the same resource.
func withoutPartition(arn string) string { return strings.SplitN(arn, ":", 3)[2] }

// checkTags refuses tags that a new resource cannot have.
func checkTags(tags map[string]string) error { return invalid(tagProblems(tags)) }

func tagProblems(tags map[string]string) []lattice.FieldProblem {
	return append(lattice.TagProblems(tags), lattice.TagCountProblem(tags)...)
}
