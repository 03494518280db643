package tagging

import (
	"fmt"
	"slices"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// namesPerPage is how many keys or values one response has.
const namesPerPage = 1000

type getTagKeysInput struct{ PaginationToken string }

type getTagKeysOutput struct {
	PaginationToken string
	TagKeys         []string
}

// getTagKeys lists the keys of all tags, by name.
func getTagKeys(v catalog.View, scope lattice.Scope, in *getTagKeysInput) (out *getTagKeysOutput, err error) {
	out = new(getTagKeysOutput)
	out.TagKeys, out.PaginationToken, err = names(v, scope, in.PaginationToken, fmt.Sprintf("GetTagKeys %v", scope),
		func(tags map[string]string, add func(name string)) {
			for key := range tags {
				add(key)
			}
		})
	return out, err
}

type getTagValuesInput struct{ PaginationToken, Key string }

type getTagValuesOutput struct {
	PaginationToken string
	TagValues       []string
}

// getTagValues lists the values that tags with a key have.
func getTagValues(v catalog.View, scope lattice.Scope, in *getTagValuesInput) (out *getTagValuesOutput, err error) {
	if in.Key == "" {
		return nil, invalid("Key is missing.")
	}
	out = new(getTagValuesOutput)
	out.TagValues, out.PaginationToken, err = names(v, scope, in.PaginationToken, fmt.Sprintf("GetTagValues %v %q", scope, in.Key),
		func(tags map[string]string, add func(name string)) {
			if value, ok := tags[in.Key]; ok {
				add(value)
			}
		})
	return out, err
}

// names returns a page of what collect adds for the tags of each resource, sorted, and the token of the next page.
func names(v catalog.View, scope lattice.Scope, token, question string, collect func(tags map[string]string, add func(name string))) ([]string, string, error) {
	after, err := place(token, question)
	if err != nil {
		return nil, "", err
	}
	seen := map[string]bool{}
	list := []string{}
	for r := range catalog.All[lattice.Resource](v, lattice.Tagged(scope)) {
		collect(r.Meta().Tags, func(name string) {
			if !seen[name] && (token == "" || name > after.Key) {
				seen[name] = true
				list = append(list, name)
			}
		})
	}
	slices.Sort(list)
	if len(list) <= namesPerPage {
		return list, "", nil
	}
	list = list[:namesPerPage]
	return list, catalog.Cursor{Key: list[namesPerPage-1]}.Token(question), nil
}
