package configuration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// file resolves flags from the YAML file that --config names. Its keys are the flags' names.
type file struct {
	path     string // empty without a file, or before it is read
	values   map[string]*yaml.Node
	lines    map[string]int // the lines of the keys
	used     map[string]int // the lines of the keys whose values are taken
	problems []error
}

// isKey reports whether a flag can be set in the file.
func isKey(flag *kong.Flag) bool {
	switch flag.Name {
	case "config", "version", "help":
		return false
	}
	return true
}

func (f *file) note(line int, format string, args ...any) {
	at := "--config " + f.path
	if line > 0 {
		at = fmt.Sprintf("%s, line %d", at, line)
	}
	f.problems = append(f.problems, fmt.Errorf("%s: %w", at, fmt.Errorf(format, args...)))
}

// read reads a file's keys and values.
func (f *file) read(path string) {
	f.path, f.values, f.lines, f.used = path, map[string]*yaml.Node{}, map[string]int{}, map[string]int{}
	content, err := os.ReadFile(path)
	if err != nil {
		if pathErr, ok := errors.AsType[*os.PathError](err); ok {
			err = pathErr.Err // The error names the path already.
		}
		f.note(0, "%w", err)
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF): // The file is empty.
		return
	case err != nil:
		f.note(0, "%w", err)
		return
	}
	root := document.Content[0]
	if root.Kind != yaml.MappingNode {
		if root.ShortTag() != "!!null" {
			f.note(root.Line, "must be keys and values, as in region: us-west-2")
		}
		return
	}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if _, twice := f.values[key.Value]; twice {
			f.note(key.Line, "key %q appears twice", key.Value)
		}
		f.values[key.Value], f.lines[key.Value] = value, key.Line
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		f.note(0, "there is a second YAML document, which would not be read")
	}
}

// Resolve returns the file's value for a flag, in the form in which the flag takes it on the command line.
func (f *file) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, global := range ctx.Model.Flags {
		if path, ok := ctx.FlagValue(global).(string); ok && global.Name == "config" && path != "" && path != f.path {
			f.read(path)
		}
	}
	value, ok := f.values[flag.Name]
	// The parser would let the file override the environment.
	if _, inEnvironment := setVariable(flag); !ok || inEnvironment || value.ShortTag() == "!!null" || !isKey(flag) {
		return nil, nil
	}
	f.used[flag.Name] = f.lines[flag.Name]
	return flagText(value, string(flag.Tag.Sep)), nil
}

// flagText writes a value as on the command line, with separators between elements of a list. Scalars stay as they are
// written, so that an account id keeps its zeros.
func flagText(value *yaml.Node, separator string) string {
	var parts []string
	switch value.Kind {
	case yaml.AliasNode:
		return flagText(value.Alias, separator)
	case yaml.MappingNode:
		for i := 0; i < len(value.Content); i += 2 {
			parts = append(parts, value.Content[i].Value+"="+flagText(value.Content[i+1], separator))
		}
	case yaml.SequenceNode:
		for _, element := range value.Content {
			parts = append(parts, flagText(element, separator))
		}
	default:
		return value.Value
	}
	return strings.Join(parts, separator)
}

// Validate notes every key of the file that is not the flag of any command.
func (f *file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for flag := range allFlags(app) {
		if isKey(flag) {
			known[flag.Name] = true
		}
	}
	names := slices.Sorted(maps.Keys(known))
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if known[key] {
			continue
		}
		f.note(f.lines[key], "unknown key %q; %s", key, suggestion(key, names, "the keys are the names of the flags, which trellis help serve lists"))
	}
	return nil
}
