// Package network writes what is stored to files, and reads it again: an account's network in one Region as a YAML document, which
// people can read, change and keep in a repository; and the whole store as a backup, which only programs read.
//
// A document is checked as the API would check it, against itself and against the store. Quotas do not matter, since only the
// operator of a node imports a network.
//
// Invariant: a document is checked to its end before anything of it is stored.
package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"trellis/internal/lattice"
)

// formatVersion is the version that documents state. A document of another version is refused.
const formatVersion = 1

// section is a list of records of one kind in a document.
type section struct {
	name string
	kind lattice.Kind
}

// sections are in the order in which they are imported: a record comes after those to which it refers. Policies come first, so
// that no resource is open, even for a moment, that a policy closes.
var sections = []section{
	{"authPolicies", lattice.KindAuthPolicy},
	{"resourcePolicies", lattice.KindResourcePolicy},
	{"domainVerifications", lattice.KindDomainVerification},
	{"serviceNetworks", lattice.KindServiceNetwork},
	{"targetGroups", lattice.KindTargetGroup},
	{"targets", lattice.KindTarget},
	{"services", lattice.KindService},
	{"rules", lattice.KindRule},
	{"listeners", lattice.KindListener},
	{"resourceGateways", lattice.KindResourceGateway},
	{"resourceConfigurations", lattice.KindResourceConfiguration},
	{"accessLogSubscriptions", lattice.KindAccessLogSubscription},
	{"detachedEndpoints", lattice.KindDetachedEndpoint},
	{"resourceEndpointAssociations", lattice.KindResourceEndpointAssociation},
	{"serviceNetworkServiceAssociations", lattice.KindServiceNetworkServiceAssociation},
	{"serviceNetworkResourceAssociations", lattice.KindServiceNetworkResourceAssociation},
	{"serviceNetworkVpcAssociations", lattice.KindServiceNetworkVpcAssociation},
}

// entry is a record in a document: its JSON as it is stored.
type entry struct {
	kind  lattice.Kind
	where string // services[2]
	json  []byte
}

// document is a network as a file describes it.
type document struct {
	scope   lattice.Scope
	entries []entry
}

// encode writes records as a document, in the order in which they are given.
func encode(scope lattice.Scope, records []lattice.Record) ([]byte, error) {
	var root yaml.Node
	root.Kind = yaml.MappingNode
	add := func(name string, value *yaml.Node) {
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
	}
	add("trellis", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(formatVersion)})
	add("account", &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: scope.Account})
	add("region", &yaml.Node{Kind: yaml.ScalarNode, Value: scope.Region})
	for _, s := range sections {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, rec := range records {
			if rec.Key().Kind != s.kind {
				continue
			}
			node, err := recordNode(rec)
			if err != nil {
				return nil, fmt.Errorf("writing %s: %w", rec.Key(), err)
			}
			list.Content = append(list.Content, node)
		}
		if len(list.Content) > 0 {
			add(s.name, list)
		}
	}
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return text.Bytes(), encoder.Close()
}

// recordNode returns a record as YAML, without its scope, which is the document's. JSON is YAML, and keeps its order.
func recordNode(rec lattice.Record) (*yaml.Node, error) {
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	node := file.Content[0]
	for i := 0; i < len(node.Content); i += 2 {
		if node.Content[i].Value == "scope" {
			node.Content = slices.Delete(node.Content, i, i+2)
			break
		}
	}
	plain(node)
	return node, nil
}

// plain removes the quotes and brackets of JSON where YAML needs none.
func plain(node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!str" && bytes.ContainsRune([]byte(node.Value), '\n') {
		node.Style = yaml.LiteralStyle
	} else {
		node.Style = 0
	}
	for _, child := range node.Content {
		plain(child)
	}
}

// decode reads a document. The parts of scope that are not empty replace those of the document.
func decode(text []byte, scope lattice.Scope) (*document, error) {
	var file struct {
		Version int       `yaml:"trellis"`
		Account yaml.Node `yaml:"account"`
		Region  string    `yaml:"region"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	if file.Version != formatVersion {
		return nil, fmt.Errorf("trellis is %d; it must be %d, the version of the format", file.Version, formatVersion)
	}
	own := lattice.Scope{Account: file.Account.Value, Region: file.Region}
	if scope.Account == "" {
		scope.Account = own.Account
	}
	if scope.Region == "" {
		scope.Region = own.Region
	}
	if !lattice.ValidAccount(scope.Account) {
		return nil, fmt.Errorf("account is %q; it must have 12 digits", scope.Account)
	}
	if !lattice.ValidRegion(scope.Region) {
		return nil, fmt.Errorf("region is %q; it must be a Region, such as us-west-2", scope.Region)
	}
	if scope != own { // Policies and rules name the network's own resources by ARN.
		text = bytes.ReplaceAll(text, []byte(arnsOf(own)), []byte(arnsOf(scope)))
	}
	var lists map[string]any
	if err := yaml.Unmarshal(text, &lists); err != nil {
		return nil, fmt.Errorf("reading the document: %w", err)
	}
	d := &document{scope: scope}
	var problems []error
	for _, s := range sections {
		list, ok := lists[s.name].([]any)
		if !ok && lists[s.name] != nil {
			problems = append(problems, fmt.Errorf("%s must be a list", s.name))
		}
		delete(lists, s.name)
		for i, members := range list {
			e := entry{kind: s.kind, where: fmt.Sprintf("%s[%d]", s.name, i)}
			object, ok := members.(map[string]any)
			if !ok {
				problems = append(problems, fmt.Errorf("%s must have members, such as id and name", e.where))
				continue
			}
			object["scope"] = scope
			var err error
			if e.json, err = json.Marshal(object); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", e.where, err))
				continue
			}
			d.entries = append(d.entries, e)
		}
	}
	for _, name := range []string{"trellis", "account", "region"} {
		delete(lists, name)
	}
	for name := range lists {
		problems = append(problems, fmt.Errorf("there is no section %q", name))
	}
	return d, errors.Join(problems...)
}

// arnsOf returns the beginning of the ARNs of a scope's resources.
func arnsOf(scope lattice.Scope) string { return lattice.FormatARN(scope, "") }
