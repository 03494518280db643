package configuration

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// commandLine is the program's commands and flags.
type commandLine struct {
	Config kong.ConfigFlag `name:"config" placeholder:"FILE" help:"YAML file of settings; its keys are the names of the flags."`

	Dev struct {
		Common
		PortMap map[int]int `name:"port-map" default:"80=8080,443=8443" mapsep:"," help:"Listener port to bound port."`
		Demo    bool        `name:"demo" help:"Also build a small sample network, and print the curl lines that show it."`
	} `cmd:"" help:"Run on this machine for development and tests: ephemeral, loopback only, any credentials."`

	Serve struct {
		Common
		PortMap     map[int]int `name:"port-map" mapsep:"," help:"Listener port to bound port."`
		DataDir     string      `name:"data-dir" default:"./trellis-data" help:"Directory of the embedded etcd and the first credentials."`
		Credentials string      `name:"credentials" help:"File of principals and keys (default DATA_DIR/credentials). Created on first start with one administrator."`
	} `cmd:"" help:"Run an application network: durable, signatures checked."`

	Version struct{} `cmd:"" help:"Print the version."`
}

// Command is what the operator asks for.
type Command struct {
	// Name is dev, serve or version.
	Name string
	// Configuration is that of dev and serve.
	Configuration Configuration
}

// UsageError is a command line, environment or file that cannot be used. It lists all that is wrong.
type UsageError struct{ Problems error }

func (e *UsageError) Error() string { return e.Problems.Error() }
func (e *UsageError) Unwrap() error { return e.Problems }

// ErrHelp is returned when the operator asked for help and got it.
var ErrHelp = errors.New("help was printed")

// Parse reads the command line, the environment and the file. Help goes to out. Errors are *UsageError or ErrHelp.
func Parse(args []string, out io.Writer) (Command, error) {
	var line commandLine
	var helped bool
	parser, err := kong.New(&line,
		kong.Name("trellis"),
		kong.Description("An application network that speaks the Amazon VPC Lattice API and carries the traffic."),
		kong.DefaultEnvars("TRELLIS"),
		kong.Configuration(readFile),
		kong.Writers(out, out),
		kong.Exit(func(int) { helped = true }),
		kong.UsageOnError(),
	)
	if err != nil {
		return Command{}, fmt.Errorf("declaring the command line: %w", err)
	}
	ctx, err := parser.Parse(args)
	switch {
	case helped:
		return Command{}, ErrHelp
	case err != nil:
		return Command{}, &UsageError{err}
	}
	command := Command{Name: ctx.Command()}
	switch command.Name {
	case "dev":
		command.Configuration = Configuration{Common: line.Dev.Common, PortMap: line.Dev.PortMap, Dev: true, Demo: line.Dev.Demo}
	case "serve":
		command.Configuration = Configuration{Common: line.Serve.Common, PortMap: line.Serve.PortMap, DataDir: line.Serve.DataDir, Credentials: line.Serve.Credentials}
		if command.Configuration.Credentials == "" {
			command.Configuration.Credentials = line.Serve.DataDir + "/credentials"
		}
	default:
		return command, nil
	}
	if err := command.Configuration.Validate(); err != nil {
		return Command{}, &UsageError{err}
	}
	return command, nil
}

// file resolves flags from a YAML file.
type file map[string]any

func readFile(r io.Reader) (kong.Resolver, error) {
	f := file{}
	if err := yaml.NewDecoder(r).Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the configuration file: %w", err)
	}
	return f, nil
}

// Resolve returns the file's value for a flag, in the form in which the flag takes it on the command line.
func (f file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	switch v := f[flag.Name].(type) {
	case nil:
		return nil, nil
	case map[string]any:
		pairs := make([]string, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			pairs = append(pairs, fmt.Sprintf("%s=%v", key, v[key]))
		}
		return strings.Join(pairs, ","), nil
	case map[any]any:
		pairs := make([]string, 0, len(v))
		for key, value := range v {
			pairs = append(pairs, fmt.Sprintf("%v=%v", key, value))
		}
		slices.Sort(pairs)
		return strings.Join(pairs, ","), nil
	case []any:
		texts := make([]string, len(v))
		for i, e := range v {
			texts[i] = fmt.Sprint(e)
		}
		return strings.Join(texts, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}

// Validate names every key of the file that is no flag of any command.
func (f file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, command := range append([]*kong.Node{app.Node}, app.Children...) {
		for _, flag := range command.Flags {
			known[flag.Name] = true
		}
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if !known[key] {
			problems = append(problems, fmt.Errorf("configuration file: unknown key %q", key))
		}
	}
	return errors.Join(problems...)
}
