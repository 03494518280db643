package tagging

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// The bounds of AWS's API reference.
const (
	maxResourcesPerPage = 100
	defaultPerPage      = 50
	maxResourceARNs     = 100
	maxTagFilters       = 50
	maxFilterValues     = 20
	maxTypeFilters      = 100
	minTagsPerPage      = 100
	maxTagsPerPage      = 500
)

type tagFilter struct {
	Key    string
	Values []string
}

type getResourcesInput struct {
	PaginationToken           string
	TagFilters                []tagFilter
	ResourcesPerPage          *int
	TagsPerPage               *int
	ResourceTypeFilters       []string
	ResourceARNList           []string
	IncludeComplianceDetails  bool
	ExcludeCompliantResources bool
}

type tag struct{ Key, Value string }

type resourceTagMapping struct {
	ResourceARN string
	Tags        []tag
}

type getResourcesOutput struct {
	PaginationToken        string
	ResourceTagMappingList []resourceTagMapping
}

// check says what is wrong with the input, or returns "".
func (in *getResourcesInput) check() string {
	count := func(name string, n, most int) string {
		if n > most {
			return fmt.Sprintf("%s must have at most %d elements; it has %d.", name, most, n)
		}
		return ""
	}
	if in.ResourceARNList != nil && (in.ResourcesPerPage != nil || in.TagsPerPage != nil || in.PaginationToken != "") {
		return "ResourceARNList cannot be given together with ResourcesPerPage, TagsPerPage or PaginationToken."
	}
	if n := in.ResourcesPerPage; n != nil && (*n < 1 || *n > maxResourcesPerPage) {
		return fmt.Sprintf("ResourcesPerPage must be from 1 to %d.", maxResourcesPerPage)
	}
	if n := in.TagsPerPage; n != nil && (*n < minTagsPerPage || *n > maxTagsPerPage || *n%minTagsPerPage != 0) {
		return fmt.Sprintf("TagsPerPage must be a multiple of %d from %d to %d.", minTagsPerPage, minTagsPerPage, maxTagsPerPage)
	}
	if in.ExcludeCompliantResources {
		return "ExcludeCompliantResources is not supported: there are no tag policies here."
	}
	for _, f := range in.TagFilters {
		if f.Key == "" {
			return "Each of TagFilters must have a Key."
		}
		if wrong := count("Values of a tag filter", len(f.Values), maxFilterValues); wrong != "" {
			return wrong
		}
	}
	for _, wrong := range []string{
		count("ResourceARNList", len(in.ResourceARNList), maxResourceARNs),
		count("TagFilters", len(in.TagFilters), maxTagFilters),
		count("ResourceTypeFilters", len(in.ResourceTypeFilters), maxTypeFilters),
	} {
		if wrong != "" {
			return wrong
		}
	}
	return ""
}

// getResources lists the resources that have tags, in order of creation, which match all filters.
func getResources(v catalog.View, scope lattice.Scope, in *getResourcesInput) (*getResourcesOutput, error) {
	if wrong := in.check(); wrong != "" {
		return nil, invalid(wrong)
	}
	out := &getResourcesOutput{ResourceTagMappingList: []resourceTagMapping{}}
	if in.ResourceARNList != nil {
		for _, r := range named(v, scope, in.ResourceARNList) {
			if in.matches(r) {
				out.ResourceTagMappingList = append(out.ResourceTagMappingList, mapping(r))
			}
		}
		return out, nil
	}
	question := fmt.Sprintf("GetResources %v %q %q", scope, in.TagFilters, in.ResourceTypeFilters)
	after, err := place(in.PaginationToken, question)
	if err != nil {
		return nil, err
	}
	resources, tags := defaultPerPage, maxTagsPerPage
	if in.ResourcesPerPage != nil {
		resources = *in.ResourcesPerPage
	}
	if in.TagsPerPage != nil {
		tags = *in.TagsPerPage
	}
	var last catalog.Cursor
	v.List(lattice.Tagged(scope), after, func(rec lattice.Record, at catalog.Cursor) bool {
		r, ok := rec.(lattice.Resource)
		if !ok || !in.matches(r) {
			return true
		}
		// A resource has fewer tags than any page.
		tags -= len(r.Meta().Tags)
		if len(out.ResourceTagMappingList) == resources || tags < 0 {
			out.PaginationToken = last.Token(question)
			return false
		}
		out.ResourceTagMappingList = append(out.ResourceTagMappingList, mapping(r))
		last = at
		return true
	})
	return out, nil
}

// named returns the tagged resources that ARNs name, each once. Others are left out, as at AWS.
func named(v catalog.View, scope lattice.Scope, arns []string) (resources []lattice.Resource) {
	for i, arn := range arns {
		a, ok := lattice.ParseARN(arn)
		if !ok || a.Scope != scope || slices.Contains(arns[:i], arn) {
			continue
		}
		// The whole ARN is compared: its key leaves out the words before the ids of a resource's parents.
		if r, ok := catalog.Get[lattice.Resource](v, a.Key()); ok && len(r.Meta().Tags) > 0 && r.ARN() == arn {
			resources = append(resources, r)
		}
	}
	return resources
}

// matches reports whether a resource is of one of the types, and has a tag for each filter.
func (in *getResourcesInput) matches(r lattice.Resource) bool {
	if len(in.ResourceTypeFilters) > 0 && !slices.ContainsFunc(in.ResourceTypeFilters, func(filter string) bool { return isOfType(r, filter) }) {
		return false
	}
	tags := r.Meta().Tags
	for _, f := range in.TagFilters {
		value, has := tags[f.Key]
		if !has || len(f.Values) > 0 && !slices.Contains(f.Values, value) {
			return false
		}
	}
	return true
}

// isOfType reports whether a resource is of the type that a filter names: vpc-lattice alone, or with the word that the
// kind has in ARNs. A kind with parents has their words before its own, and filters may leave them out.
func isOfType(r lattice.Resource, filter string) bool {
	service, kind, narrow := strings.Cut(filter, ":")
	if service != "vpc-lattice" || !narrow {
		return service == "vpc-lattice"
	}
	if own := string(r.Key().Kind); kind == own {
		return true
	}
	path := r.ARN()[strings.LastIndexByte(r.ARN(), ':')+1:]
	var kinds []string
	for i, segment := range strings.Split(path, "/") {
		if i%2 == 0 {
			kinds = append(kinds, segment)
		}
	}
	return kind == strings.Join(kinds, "/")
}

func mapping(r lattice.Resource) resourceTagMapping {
	m := resourceTagMapping{ResourceARN: r.ARN(), Tags: []tag{}}
	tags := r.Meta().Tags
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		m.Tags = append(m.Tags, tag{key, tags[key]})
	}
	return m
}

// place returns the place that a token stands for. The empty token is the first page's.
func place(token, question string) (catalog.Cursor, error) {
	if token == "" {
		return catalog.Cursor{}, nil
	}
	at, ok := catalog.ParseToken(token, question)
	if !ok {
		return catalog.Cursor{}, invalid("The PaginationToken is not one that was given for this query. Repeat its other parameters unchanged.")
	}
	return at, nil
}
