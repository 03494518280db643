package configuration

import (
	"fmt"
	"iter"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// variablePrefix is what the names of the program's environment variables begin with.
const variablePrefix = "TRELLIS_"

// TakeoverVariable tells a process to take over from its parent. It is not a setting but the number of a file descriptor: the
// process's end of the channel between the two.
const TakeoverVariable = variablePrefix + "TAKEOVER"

// linkedService are the variables that Kubernetes sets in every container of a namespace with a Service named trellis
// (kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var linkedService = regexp.MustCompile(`^TRELLIS_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)$`)

// allFlags yields the flags of all commands. A flag of two commands comes twice.
func allFlags(app *kong.Application) iter.Seq[*kong.Flag] {
	return func(yield func(*kong.Flag) bool) {
		for _, command := range append([]*kong.Node{app.Node}, app.Children...) {
			for _, flag := range command.Flags {
				if !yield(flag) {
					return
				}
			}
		}
	}
}

// setVariable returns the environment variable that sets a flag, if there is one.
func setVariable(flag *kong.Flag) (name string, ok bool) {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return name, true
		}
	}
	return "", false
}

// unknownVariables warns about variables in the environment that look like settings but are not. They are not errors: a
// variable may be for another version, or for another program of the same name.
func unknownVariables(app *kong.Application, environment []string) []string {
	known := map[string]bool{TakeoverVariable: true}
	for flag := range allFlags(app) {
		for _, name := range flag.Envs {
			known[name] = true
		}
	}
	var warnings []string
	slices.Sort(environment)
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, variablePrefix) || known[name] || linkedService.MatchString(name) {
			continue
		}
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(name string) bool { return name == TakeoverVariable })
		warnings = append(warnings, fmt.Sprintf("environment variable %s has no meaning; %s", name,
			suggestion(name, names, "the variables are "+variablePrefix+" and the names of the flags, as in TRELLIS_API_ADDR")))
	}
	return warnings
}
