package console

import (
	"maps"
	"slices"
	"time"

	"trellis/internal/lattice"
)

// object is what the page of a resource shows, whatever its kind.
type object struct {
	Kind, Name, ID, ARN string
	Status              cell
	Facts               []fact
	Charts              []chart
	Tables              []*table
	Commands            []command
	Tags                []tag
	Created, Updated    time.Time
}

type tag struct{ Key, Value string }

// object returns the part that all pages of resources have.
func (v *visit) object(r lattice.Resource, kind string) object {
	meta := r.Meta()
	o := object{Kind: kind, Name: meta.Name, ID: meta.ID, ARN: r.ARN(), Status: v.status(r), Created: meta.CreatedAt, Updated: meta.UpdatedAt}
	if o.Name == "" {
		o.Name = meta.ID
	}
	for _, key := range slices.Sorted(maps.Keys(meta.Tags)) {
		o.Tags = append(o.Tags, tag{key, meta.Tags[key]})
	}
	return o
}

// pageOf returns the address of the page of a resource by its ARN, or "".
func pageOf(arn string) string {
	parsed, ok := lattice.ParseARN(arn)
	if !ok {
		return ""
	}
	section, ok := sections()[parsed.Kind]
	if !ok {
		return ""
	}
	return pathOf(parsed.Scope) + section + "/" + parsed.ID()
}
