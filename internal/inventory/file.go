package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file is the form of the inventory file. Its values are texts, so that everything that is wrong with any of them can be reported
// at once.
type file struct {
	VPCs []struct {
		ID    string   `yaml:"id"`
		CIDRs []string `yaml:"cidrs"`

		DefaultSecurityGroup string   `yaml:"defaultSecurityGroup"`
		DNSServers           []string `yaml:"dnsServers"`
	} `yaml:"vpcs"`
	SecurityGroups []struct {
		ID      string      `yaml:"id"`
		Ingress []ruleEntry `yaml:"ingress"`
		Egress  []ruleEntry `yaml:"egress"`
	} `yaml:"securityGroups"`
	Instances []struct {
		ID      string `yaml:"id"`
		Address string `yaml:"address"`
		VPC     string `yaml:"vpc"`
		State   string `yaml:"state"`

		SecurityGroups []string `yaml:"securityGroups"`
	} `yaml:"instances"`
	LoadBalancers []struct {
		ARN     string `yaml:"arn"`
		Address string `yaml:"address"`
		VPC     string `yaml:"vpc"`
	} `yaml:"loadBalancers"`
	Functions    []functionEntry `yaml:"functions"`
	Certificates []struct {
		ARN         string `yaml:"arn"`
		Certificate string `yaml:"certificate"`
		Key         string `yaml:"key"`
	} `yaml:"certificates"`
	Databases    []databaseEntry `yaml:"databases"`
	VPCEndpoints []struct {
		ID                    string `yaml:"id"`
		VPC                   string `yaml:"vpc"`
		Owner                 string `yaml:"owner"`
		Type                  string `yaml:"type"`
		ResourceConfiguration string `yaml:"resourceConfiguration"`
		ServiceNetwork        string `yaml:"serviceNetwork"`
		CreatedAt             string `yaml:"createdAt"`

		SecurityGroups             []string `yaml:"securityGroups"`
		PrivateDNSEnabled          string   `yaml:"privateDnsEnabled"`
		PrivateDNSPreference       string   `yaml:"privateDnsPreference"`
		PrivateDNSSpecifiedDomains []string `yaml:"privateDnsSpecifiedDomains"`
	} `yaml:"vpcEndpoints"`
}

// ruleEntry is a rule of a security group.
type ruleEntry struct {
	Ports          string   `yaml:"ports"`
	CIDRs          []string `yaml:"cidrs"`
	SecurityGroups []string `yaml:"securityGroups"`
}

// Parse reads the text of an inventory. Relative names in it are relative to a directory, which must be absolute. readFile
// reads the PEM files that it names. The error joins one for each mistake, which names the element.
func Parse(data []byte, directory string, readFile func(name string) ([]byte, error)) (*Snapshot, error) {
	f, problems := decode(data)
	if f == nil {
		return nil, problems[0]
	}
	b := builder{snapshot: newSnapshot(), directory: directory, readFile: readFile, problems: problems}
	b.build(f)
	if err := errors.Join(b.problems...); err != nil {
		return nil, err
	}
	return b.snapshot, nil
}

// decode returns what it could read of a text, nil if it is not YAML, and what is wrong with its form.
func decode(data []byte) (*file, []error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	var f file
	err := decoder.Decode(&document)
	if err == io.EOF { // an empty file
		return &f, nil
	}
	if err != nil {
		return nil, []error{err}
	}
	problems := unknownKeys(&document)
	if wrong, ok := errors.AsType[*yaml.TypeError](document.Decode(&f)); ok {
		for _, text := range wrong.Errors {
			// The author of the file does not know Go's names for types.
			text, _, _ = strings.Cut(text, " into ")
			problems = append(problems, errors.New(text))
		}
	}
	if decoder.Decode(new(yaml.Node)) != io.EOF {
		problems = append(problems, fmt.Errorf("there is a second YAML document, which would not be read"))
	}
	return &f, problems
}

// unknownKeys reports the unknown keys of a document, and names those that exist.
func unknownKeys(document *yaml.Node) (problems []error) {
	root := document.Content[0]
	lists := keysOf(reflect.TypeFor[file]())
	for name, list := range pairs(root) {
		element, known := lists[name.Value]
		if !known {
			problems = append(problems, fmt.Errorf("line %d: there is no list %q; the lists are %s", name.Line, name.Value, names(lists)))
			continue
		}
		problems = append(problems, unknownKeysIn(name.Value, list, element)...)
	}
	return problems
}

// unknownKeysIn reports the unknown keys in the elements of a list, and in the lists within them.
func unknownKeysIn(name string, list *yaml.Node, of reflect.Type) (problems []error) {
	if list.Kind != yaml.SequenceNode || of.Kind() != reflect.Slice || of.Elem().Kind() != reflect.Struct {
		return nil
	}
	keys := keysOf(of.Elem())
	for _, node := range list.Content {
		for key, value := range pairs(node) {
			member, known := keys[key.Value]
			if !known {
				problems = append(problems, fmt.Errorf("line %d: there is no key %q in an element of %s; the keys are %s",
					key.Line, key.Value, name, names(keys)))
				continue
			}
			problems = append(problems, unknownKeysIn(key.Value, value, member)...)
		}
	}
	return problems
}

// pairs yields the keys and values of a mapping, without what it merges in (<<). Any other node has none.
func pairs(node *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if node = resolved(node); node.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(node.Content); i += 2 {
			if key := node.Content[i]; key.ShortTag() != "!!merge" && !yield(key, resolved(node.Content[i+1])) {
				return
			}
		}
	}
}

// resolved returns the node that an alias stands for.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// keysOf returns the types of a structure's fields by their names in YAML.
func keysOf(structure reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for i := range structure.NumField() {
		keys[structure.Field(i).Tag.Get("yaml")] = structure.Field(i).Type
	}
	return keys
}

func names(keys map[string]reflect.Type) string {
	return strings.Join(slices.Sorted(maps.Keys(keys)), ", ")
}
