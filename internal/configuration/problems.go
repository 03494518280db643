package configuration

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"trellis/internal/lattice"
)

// problems collects what is wrong with values. The parser alone would stop at the first; so its mappers note a value
// that cannot be read and go on, and all problems are told at once.
type problems struct{ list []error }

func (p *problems) note(format string, args ...any) {
	p.list = append(p.list, fmt.Errorf(format, args...))
}

// mappers read the types of flags that can be written wrongly.
func (p *problems) mappers() []kong.Option {
	return []kong.Option{
		mapper(p, "a duration such as 2s", time.ParseDuration),
		mapper(p, "a whole number", strconv.Atoi),
		mapper(p, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }),
		mapper(p, "a whole number that is not negative", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }),
		mapper(p, "ports such as 80=8080,443=8443", parsePortMap),
		mapper(p, "quotas such as targetGroupsPerRegion=1000", parseQuotas),
	}
}

// mapper returns the option that reads flags of a type. want says what a value should look like.
func mapper[T any](p *problems, want string, parse func(string) (T, error)) kong.Option {
	return kong.TypeMapper(reflect.TypeFor[T](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto(want, &text); err != nil {
			return err
		}
		value, err := parse(text)
		if err != nil {
			p.note("--%s %s: must be %s", ctx.Value.Name, text, want)
			return nil
		}
		target.Set(reflect.ValueOf(value))
		return nil
	}))
}

// pairs reads "a=1,b=2".
func pairs(text string) (map[string]int, error) {
	numbers := map[string]int{}
	for pair := range strings.SplitSeq(text, ",") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		number, err := strconv.Atoi(value)
		if err != nil {
			return nil, err
		}
		numbers[strings.TrimSpace(key)] = number
	}
	return numbers, nil
}

func parseQuotas(text string) (lattice.Quotas, error) {
	numbers, err := pairs(text)
	return lattice.Quotas(numbers), err
}

func parsePortMap(text string) (map[int]int, error) {
	numbers, err := pairs(text)
	if err != nil {
		return nil, err
	}
	ports := map[int]int{}
	for key, bound := range numbers {
		port, err := strconv.Atoi(key)
		if err != nil {
			return nil, err
		}
		ports[port] = bound
	}
	return ports, nil
}

// file resolves flags from a YAML file. Its keys are the flags' names.
type file struct {
	values   map[string]any
	problems *problems
}

func (p *problems) readFile(r io.Reader) (kong.Resolver, error) {
	var values map[string]any
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the configuration file: %w", err)
	}
	return file{values, p}, nil
}

// Resolve returns the file's value for a flag, in the form in which the flag takes it on the command line.
func (f file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := f.values[flag.Name]
	// The parser would let the file override the environment.
	if !ok || slices.ContainsFunc(flag.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }) {
		return nil, nil
	}
	return flagText(value), nil
}

func flagText(value any) string {
	var parts []string
	switch value := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			parts = append(parts, key+"="+flagText(value[key]))
		}
	case map[any]any:
		for key, element := range value {
			parts = append(parts, fmt.Sprint(key)+"="+flagText(element))
		}
		slices.Sort(parts)
	case []any:
		for _, element := range value {
			parts = append(parts, flagText(element))
		}
	default:
		return fmt.Sprint(value)
	}
	return strings.Join(parts, ",")
}

// Validate notes every key of the file that is no flag of any command.
func (f file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, command := range append([]*kong.Node{app.Node}, app.Children...) {
		for _, flag := range command.Flags {
			known[flag.Name] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if !known[key] {
			f.problems.note("configuration file: unknown key %q", key)
		}
	}
	return nil
}
