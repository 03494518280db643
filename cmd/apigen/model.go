package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// model is the part of botocore's service-2.json that the generator reads.
type model struct {
	Metadata struct {
		APIVersion  string `json:"apiVersion"`
		SigningName string `json:"signingName"`
	} `json:"metadata"`
	Operations map[string]*operation  `json:"operations"`
	Shapes     map[string]*modelShape `json:"shapes"`
}

type operation struct {
	Name string `json:"name"`
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	} `json:"http"`
	Input         shapeRef   `json:"input"`
	Output        shapeRef   `json:"output"`
	Errors        []shapeRef `json:"errors"`
	Documentation string     `json:"documentation"`
	Idempotent    bool       `json:"idempotent"`
}

type shapeRef struct {
	Shape            string `json:"shape"`
	Documentation    string `json:"documentation"`
	Location         string `json:"location"`
	LocationName     string `json:"locationName"`
	IdempotencyToken bool   `json:"idempotencyToken"`
}

type modelShape struct {
	Type          string              `json:"type"`
	Members       map[string]shapeRef `json:"members"`
	Required      []string            `json:"required"`
	Member        *shapeRef           `json:"member"`
	Key           *shapeRef           `json:"key"`
	Value         *shapeRef           `json:"value"`
	Enum          []string            `json:"enum"`
	Pattern       string              `json:"pattern"`
	Min           *int64              `json:"min"`
	Max           *int64              `json:"max"`
	Union         bool                `json:"union"`
	Exception     bool                `json:"exception"`
	Documentation string              `json:"documentation"`
	Error         *struct {
		HTTPStatusCode int `json:"httpStatusCode"`
	} `json:"error"`
	Retryable *struct {
		Throttling bool `json:"throttling"`
	} `json:"retryable"`
}

// readModel reads the newest vpc-lattice model below a botocore data directory.
func readModel(dataDir string) (*model, error) {
	versions, err := filepath.Glob(filepath.Join(dataDir, "vpc-lattice", "*", "service-2.json.gz"))
	if err != nil {
		return nil, fmt.Errorf("looking for the model: %w", err)
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("no vpc-lattice model below %s; install botocore first (make generate does)", dataDir)
	}
	sort.Strings(versions)
	f, err := os.Open(versions[len(versions)-1])
	if err != nil {
		return nil, fmt.Errorf("opening the model: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpacking %s: %w", f.Name(), err)
	}
	var m model
	if err := json.NewDecoder(z).Decode(&m); err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	return &m, nil
}

func (m *model) shapeNames() []string     { return sortedKeys(m.Shapes) }
func (m *model) operationNames() []string { return sortedKeys(m.Operations) }

// errorNames returns the names of an operation's errors, in alphabetical order.
func (o *operation) errorNames() []string {
	names := make([]string, 0, len(o.Errors))
	for _, ref := range o.Errors {
		names = append(names, ref.Shape)
	}
	sort.Strings(names)
	return names
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func (s *modelShape) isRequired(member string) bool {
	for _, r := range s.Required {
		if r == member {
			return true
		}
	}
	return false
}

// exported turns a member name into its Go field name: vpcIdentifier becomes VpcIdentifier.
func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// enumConst turns an enum value into the tail of its constant: CREATE_IN_PROGRESS becomes CreateInProgress,
// as the SDK for Go names it; values that are camel case already keep their inner capitals.
func enumConst(value string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return r == '_' || r == '-' }) {
		if word == strings.ToUpper(word) {
			word = strings.ToLower(word)
		}
		b.WriteString(exported(word))
	}
	return b.String()
}
