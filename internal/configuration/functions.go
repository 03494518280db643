package configuration

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"trellis/internal/inventory"
	"trellis/internal/lattice"
)

// Function is a function that dev runs without an entry in the inventory.
type Function struct {
	Name    string
	Command string
}

// ARN returns the ARN of the function in a scope.
func (f Function) ARN(scope lattice.Scope) string {
	return "arn:aws:lambda:" + scope.Region + ":" + scope.Account + ":function:" + f.Name
}

// functionMapper reads --function, which may be given several times. A variable or a file has one function in each line.
func (p *problems) functionMapper() kong.Option {
	return kong.TypeMapper(reflect.TypeFor[[]Function](), kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
		var text string
		if err := ctx.Scan.PopValueInto("NAME=COMMAND", &text); err != nil {
			return err
		}
		for line := range strings.SplitSeq(text, "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			name, command, found := strings.Cut(line, "=")
			if !found {
				p.wrong(ctx.Value.Name, line, "must be a name and a command, as in orders='python3 -m awslambdaric app.handler'")
				continue
			}
			target.Set(reflect.Append(target, reflect.ValueOf(Function{strings.TrimSpace(name), command})))
		}
		return nil
	}))
}

// checkFunctions calls wrong for every function that cannot be run.
func (c Configuration) checkFunctions(wrong func(flag string, value any, want string)) {
	seen := map[string]bool{}
	for _, f := range c.Functions {
		if _, err := inventory.NewFunction(f.ARN(lattice.Scope{Region: c.Region, Account: c.Account}), f.Command, "/"); err != nil {
			wrong("function", f.Name+"="+f.Command, err.Error())
		}
		if seen[f.Name] {
			wrong("function", f.Name, "this name is given to two functions")
		}
		seen[f.Name] = true
	}
}
