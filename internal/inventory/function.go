package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"trellis/internal/lattice"
)

// Function is a Lambda function: a program that this node runs, or one that another Lambda API has.
type Function struct {
	ARN string

	// Command is the program that runs the function, with its arguments. It is nil for a function elsewhere.
	Command []string
	// Directory is where the program runs. It is absolute.
	Directory   string
	Environment map[string]string
	Handler     string
	// Timeout bounds one event.
	Timeout time.Duration
	// MemoryMB is the memory that the function is told it has. Nothing enforces it.
	MemoryMB int
	// Concurrency bounds the processes, each of which handles one event at a time.
	Concurrency int
	// Watch are absolute paths. The program is restarted when one of these files, or a file below one of these directories,
	// changes.
	Watch []string

	// Endpoint is the base URL of the Lambda API that has the function, or nil. It must not be changed.
	Endpoint *url.URL
	// IsElsewhere says that the Lambda of the node's environment has listed the function as its own.
	IsElsewhere bool
}

// Equal reports whether two entries describe the same function.
func (f Function) Equal(other Function) bool { return reflect.DeepEqual(f, other) }

// Name is the function's name, as AWS_LAMBDA_FUNCTION_NAME has it.
func (f Function) Name() string { return lattice.FunctionName(f.ARN) }

// Region is the Region of the function's ARN.
func (f Function) Region() string { return strings.Split(f.ARN, ":")[3] }

// The defaults of functions. AWS's are 3 s and 128 MB, with which few programs start on a busy machine.
const (
	defaultFunctionTimeout     = 30 * time.Second
	defaultFunctionMemoryMB    = 128
	defaultFunctionConcurrency = 10
)

// maxFunctionConcurrency bounds the processes of one function: each costs memory and descriptors.
const maxFunctionConcurrency = 1000

// NewFunction returns a function that runs a command line, as --function declares it. The directory must be absolute.
func NewFunction(arn, line, directory string) (Function, error) {
	if !functionARN.MatchString(arn) {
		return Function{}, fmt.Errorf("%q is not the ARN of a function, which is like arn:aws:lambda:us-west-2:123456789012:function:orders", arn)
	}
	command, err := splitWords(line)
	if err != nil {
		return Function{}, err
	}
	f := Function{ARN: arn, Command: command, Directory: directory}
	f.setDefaults()
	return f, nil
}

// setDefaults sets the fields of a function that this node runs which were not given.
func (f *Function) setDefaults() {
	f.Handler = cmp.Or(f.Handler, f.Command[len(f.Command)-1]) // The runtime interface clients read it from there too.
	f.Timeout = cmp.Or(f.Timeout, defaultFunctionTimeout)
	f.MemoryMB = cmp.Or(f.MemoryMB, defaultFunctionMemoryMB)
	f.Concurrency = cmp.Or(f.Concurrency, defaultFunctionConcurrency)
	if f.Watch == nil {
		f.Watch = []string{f.Directory}
		if program := f.Command[0]; strings.ContainsRune(program, filepath.Separator) {
			f.Watch = append(f.Watch, absolute(f.Directory, program))
		}
	}
}

func absolute(directory, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(directory, name)
}

// functionEntry is a function in the file.
type functionEntry struct {
	ARN         string            `yaml:"arn"`
	Command     yaml.Node         `yaml:"command"`
	Directory   string            `yaml:"directory"`
	Environment map[string]string `yaml:"environment"`
	Handler     string            `yaml:"handler"`
	Timeout     string            `yaml:"timeout"`
	Memory      string            `yaml:"memory"`
	Concurrency string            `yaml:"concurrency"`
	Watch       []string          `yaml:"watch"`
	Endpoint    string            `yaml:"endpoint"`
}

// reservedVariables are set for each process; no entry can set them (docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html).
var reservedVariables = regexp.MustCompile(`^(_HANDLER|_X_AMZN_TRACE_ID|_TRELLIS_.*|AWS_LAMBDA_.*|AWS_REGION|AWS_DEFAULT_REGION|LAMBDA_TASK_ROOT)$`)

func (b *builder) function(e functionEntry) Function {
	f := Function{ARN: e.ARN}
	switch {
	case e.Command.IsZero() && e.Endpoint == "":
		b.wrong("command or endpoint is missing: the program that runs the function, such as python3 -m awslambdaric app.handler, or the URL of the Lambda API that has it")
	case e.Command.IsZero():
		f.Endpoint = b.endpoint(e.Endpoint)
		b.onlyWithCommand(e)
	case e.Endpoint != "":
		b.wrong("command and endpoint cannot both be given: a function runs here or elsewhere")
	default:
		b.localFunction(e, &f)
	}
	return f
}

func (b *builder) localFunction(e functionEntry, f *Function) {
	f.Command = b.command(e.Command)
	f.Directory = absolute(b.directory, e.Directory)
	for _, name := range slices.Sorted(maps.Keys(e.Environment)) {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(e.Environment[name], 0):
			b.wrong("environment: %q cannot be the name and value of a variable", name)
		case reservedVariables.MatchString(name):
			b.wrong("environment: %s is set for each function and cannot be changed", name)
		}
	}
	f.Environment, f.Handler = e.Environment, e.Handler
	if e.Timeout != "" {
		timeout, err := time.ParseDuration(e.Timeout)
		if f.Timeout = timeout; err != nil || timeout < time.Second || timeout > 15*time.Minute {
			b.wrong("timeout: %q must be a duration between 1s and 15m", e.Timeout)
		}
	}
	f.MemoryMB = b.number("memory", e.Memory, 1, 1<<20, "a number of megabytes")
	f.Concurrency = b.number("concurrency", e.Concurrency, 1, maxFunctionConcurrency, "a number of processes")
	if e.Watch != nil {
		f.Watch = []string{}
	}
	for _, name := range e.Watch {
		f.Watch = append(f.Watch, absolute(f.Directory, name))
	}
	if len(f.Command) > 0 {
		f.setDefaults()
	}
}

// onlyWithCommand refuses settings that have no meaning for a function elsewhere.
func (b *builder) onlyWithCommand(e functionEntry) {
	for _, member := range []struct {
		name  string
		given bool
	}{
		{"directory", e.Directory != ""}, {"environment", e.Environment != nil}, {"handler", e.Handler != ""}, {"timeout", e.Timeout != ""},
		{"memory", e.Memory != ""}, {"concurrency", e.Concurrency != ""}, {"watch", e.Watch != nil},
	} {
		if member.given {
			b.wrong("%s is for functions with a command", member.name)
		}
	}
}

// command reads a list of words, or one line that is split as a shell splits words.
func (b *builder) command(node yaml.Node) []string {
	var words []string
	var err error
	switch resolved(&node).Kind {
	case yaml.ScalarNode:
		words, err = splitWords(resolved(&node).Value)
	case yaml.SequenceNode:
		if err = node.Decode(&words); err == nil && (len(words) == 0 || words[0] == "") {
			err = errNoProgram
		}
	default:
		err = fmt.Errorf("must be a list of words, or one line such as python3 -m awslambdaric app.handler")
	}
	if err != nil {
		b.wrong("command: %v", err)
	}
	return words
}

func (b *builder) number(member, text string, least, most int, what string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		b.wrong("%s: %q must be %s between %d and %d", member, text, what, least, most)
	}
	return n
}

func (b *builder) endpoint(text string) *url.URL {
	endpoint, err := url.Parse(text)
	if err != nil || endpoint.Host == "" || endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		b.wrong("endpoint: %q must be the base URL of a Lambda API, such as http://127.0.0.1:5000", text)
	}
	return endpoint
}
