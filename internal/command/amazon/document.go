package amazon

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// section is a list of a document, with the members of each entry in their order.
type section struct {
	name    string
	entries []object
	orders  [][]string
}

// add adds an entry with those of the members that an object has.
func (r *reader) add(name string, from object, members ...string) {
	entry, order := object{}, []string(nil)
	for _, member := range members {
		theirs, ours, renamed := strings.Cut(member, ":")
		if !renamed {
			ours = theirs
		}
		if value := reflect.ValueOf(from[theirs]); !value.IsValid() || value.Kind() != reflect.Bool && value.IsZero() ||
			(value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0 {
			continue
		}
		entry[ours] = from[theirs]
		order = append(order, ours)
	}
	if id := entry.text("id"); id != "" {
		r.checkID(id)
	}
	i := slices.IndexFunc(r.sections, func(s section) bool { return s.name == name })
	if i < 0 {
		i = len(r.sections)
		r.sections = append(r.sections, section{name: name})
	}
	r.sections[i].entries = append(r.sections[i].entries, entry)
	r.sections[i].orders = append(r.sections[i].orders, order)
}

// has returns the entry with an id, or nil.
func (r *reader) has(name, id string) (object, bool) {
	for _, s := range r.sections {
		if s.name != name {
			continue
		}
		if i := slices.IndexFunc(s.entries, func(o object) bool { return o.text("id") == id }); i >= 0 {
			return s.entries[i], true
		}
	}
	return nil, false
}

// validID is the form of all ids of AWS.
var validID = regexp.MustCompile(`^[a-z]+-[0-9a-z]{17}$`)

// checkID replaces an id that does not have AWS's form, as some substitutes for AWS return them.
func (r *reader) checkID(id string) {
	if prefix, _, ok := strings.Cut(id, "-"); ok && !validID.MatchString(id) {
		r.renamed[id] = prefix + "-" + derived(id)
	}
}

// derived returns the random part of an id, always the same for the same text.
func derived(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:17]
}

// document writes what has been read.
func (r *reader) document() ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	put := func(to *yaml.Node, name string, value any) error {
		node := &yaml.Node{}
		if known, ok := value.(*yaml.Node); ok {
			node = known
		} else if err := node.Encode(value); err != nil {
			return fmt.Errorf("writing the document: %w", err)
		}
		to.Content = append(to.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, node)
		return nil
	}
	_ = put(root, "trellis", 1) // This cannot fail for a number and two texts.
	_ = put(root, "account", r.account)
	_ = put(root, "region", r.region)
	for _, s := range r.sections {
		entries := &yaml.Node{Kind: yaml.SequenceNode}
		for i, entry := range s.entries {
			node := &yaml.Node{Kind: yaml.MappingNode}
			for _, name := range s.orders[i] {
				if err := put(node, name, entry[name]); err != nil {
					return nil, err
				}
			}
			entries.Content = append(entries.Content, node)
		}
		_ = put(root, s.name, entries)
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	var pairs []string
	for _, id := range slices.Sorted(maps.Keys(r.renamed)) {
		pairs = append(pairs, id, r.renamed[id])
	}
	return []byte(strings.NewReplacer(pairs...).Replace(text.String())), nil
}

// note adds a text that is not noted yet.
func note(to *[]string, text string) {
	if text != "" && !slices.Contains(*to, text) {
		*to = append(*to, text)
	}
}

// notes say what the document lacks, and how else to supply it.
func (r *reader) notes() (notes []string) {
	add := func(list []string, format string) {
		if len(list) > 0 {
			slices.Sort(list)
			notes = append(notes, fmt.Sprintf(format, strings.Join(list, ", ")))
		}
	}
	add(r.foreign, "left out, since other accounts share it: %s")
	add(r.certificates, "the keys of certificates cannot be read: %s. The local authority stands in unless an inventory has them (docs/inventory.md)")
	add(r.functions, "the code of functions cannot be read: %s. Run them with dev --function NAME=COMMAND, or name them in an inventory")
	add(r.hosts, "VPC Lattice does not say where instances and load balancers are: %s. Give --map for all targets of a group, or an inventory")
	add(r.vpcs, "VPC Lattice does not say which networks VPCs have: %s. An inventory that lists them decides which clients are in which VPC")
	add(slices.Collect(maps.Keys(r.lacking)), "the endpoint lacks these operations, so what they would return is missing: %s")
	if len(r.renamed) > 0 {
		notes = append(notes, strconv.Itoa(len(r.renamed))+" ids do not have AWS's form, and are replaced by others, always by the same")
	}
	unused := slices.DeleteFunc(slices.Collect(maps.Keys(r.mapping)), func(from string) bool { return r.used[from] })
	add(unused, "--map names targets that do not exist: %s")
	return notes
}
