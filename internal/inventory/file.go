package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// file is the form of the inventory file. Its values are texts, so that what is wrong with one can be told together
// with what is wrong with all others.
type file struct {
	VPCs []struct {
		ID    string   `yaml:"id"`
		CIDRs []string `yaml:"cidrs"`

		DefaultSecurityGroup string `yaml:"defaultSecurityGroup"`
	} `yaml:"vpcs"`
	Instances []struct {
		ID      string `yaml:"id"`
		Address string `yaml:"address"`
		VPC     string `yaml:"vpc"`
	} `yaml:"instances"`
	LoadBalancers []struct {
		ARN     string `yaml:"arn"`
		Address string `yaml:"address"`
	} `yaml:"loadBalancers"`
	Functions []struct {
		ARN string `yaml:"arn"`
		URL string `yaml:"url"`
	} `yaml:"functions"`
	Certificates []struct {
		ARN         string `yaml:"arn"`
		Certificate string `yaml:"certificate"`
		Key         string `yaml:"key"`
	} `yaml:"certificates"`
	VPCEndpoints []struct {
		ID                    string `yaml:"id"`
		VPC                   string `yaml:"vpc"`
		Owner                 string `yaml:"owner"`
		Type                  string `yaml:"type"`
		ResourceConfiguration string `yaml:"resourceConfiguration"`
		ServiceNetwork        string `yaml:"serviceNetwork"`
		CreatedAt             string `yaml:"createdAt"`
	} `yaml:"vpcEndpoints"`
}

// Parse reads the text of an inventory. readFile reads the PEM files that it names. The error joins one for each
// thing that is wrong, which names the element.
func Parse(data []byte, readFile func(name string) ([]byte, error)) (*Snapshot, error) {
	f, problems := decode(data)
	if f == nil {
		return nil, problems[0]
	}
	b := builder{snapshot: newSnapshot(), readFile: readFile, problems: problems}
	b.build(f)
	if err := errors.Join(b.problems...); err != nil {
		return nil, err
	}
	return b.snapshot, nil
}

// decode returns what could be understood of a text, nil if it is no YAML, and what is wrong with its form.
func decode(data []byte) (*file, []error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	var f file
	err := decoder.Decode(&f)
	if err == io.EOF { // an empty file
		return &f, nil
	}
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		var problems []error
		for _, text := range wrong.Errors {
			// Go's names of types say nothing to who writes the file.
			text, _, _ = strings.Cut(text, " in type ")
			text, _, _ = strings.Cut(text, " into ")
			problems = append(problems, errors.New(text))
		}
		return &f, problems
	}
	if err != nil {
		return nil, []error{err}
	}
	if decoder.Decode(new(yaml.Node)) != io.EOF {
		return &f, []error{fmt.Errorf("there is a second YAML document, which would not be read")}
	}
	return &f, nil
}
