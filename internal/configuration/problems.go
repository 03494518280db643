package configuration

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"trellis/internal/lattice"
)

// problems collects what is wrong with values. The parser would stop at the first one, so its mappers note a value that cannot
// be read and go on. All problems are reported at once.
type problems struct {
	file     file
	settings []settingProblem
}

// settingProblem is what is wrong with the value of a flag, wherever the value comes from.
type settingProblem struct {
	flag  string
	value any
	want  string
}

func (p *problems) wrong(flag string, value any, want string) {
	p.settings = append(p.settings, settingProblem{flag, value, want})
}

// all returns all problems. ctx is the parsed command line, nil if it could not be parsed.
func (p *problems) all(ctx *kong.Context) []error {
	list := p.file.problems
	for _, s := range p.settings {
		value := ""
		switch s.value {
		case nil: // The mapper's want reports this one.
		case "":
			value = ` ""`
		default:
			value = fmt.Sprintf(" %v", s.value)
		}
		list = append(list, fmt.Errorf("--%s%s%s: %s", s.flag, value, p.origin(ctx, s.flag), s.want))
	}
	return list
}

// origin tells where the value of a flag comes from unless it is the command line, where the operator sees the flag itself.
func (p *problems) origin(ctx *kong.Context, name string) string {
	if line, ok := p.file.used[name]; ok {
		return fmt.Sprintf(" (line %d of %s)", line, p.file.path)
	}
	if ctx == nil {
		return ""
	}
	for _, flag := range ctx.Flags() {
		if flag.Name != name {
			continue
		}
		onCommandLine := slices.ContainsFunc(ctx.Path, func(p *kong.Path) bool { return p.Flag == flag && !p.Resolved })
		if variable, ok := setVariable(flag); ok && !onCommandLine {
			return " (" + variable + ")"
		}
	}
	return ""
}

// mappers read the types of flags whose values can be malformed.
func (p *problems) mappers() []kong.Option {
	return []kong.Option{
		mapper(p, "a duration such as 2s", time.ParseDuration),
		mapper(p, "a whole number", strconv.Atoi),
		mapper(p, "a number", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }),
		mapper(p, "a whole number that is not negative", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }),
		mapper(p, "ports such as 80=8080,443=8443", parsePortMap),
		mapper(p, "networks such as 127.0.0.0/8,::1/128", parseNetworks),
		mapper(p, wantResourceRange, parseResourceRange),
		mapper(p, "ports such as 5432,6379", parsePorts),
		p.functionMapper(),
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
			p.wrong(ctx.Value.Name, text, "must be "+want)
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

// parseNetworks reads "10.0.0.0/8,::1". An address is a network of one.
func parseNetworks(text string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if address, err := netip.ParseAddr(part); err == nil {
			networks = append(networks, netip.PrefixFrom(address, address.BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(part)
		if err != nil {
			return nil, err
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
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
