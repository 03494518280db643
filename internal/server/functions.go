package server

import (
	"context"
	"fmt"
	"net"
	"os"

	"trellis/internal/console"
	"trellis/internal/function"
	"trellis/internal/function/gateway"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/routing"
)

// openFunctions prepares the functions of the inventory, so that they can be invoked as targets.
func (s *Server) openFunctions(context.Context) error {
	endpoint := "http://" + s.apiListener.Addr().String()
	lambda := os.Getenv("AWS_ENDPOINT_URL_LAMBDA")
	s.functions = function.New(function.Config{
		Lookup: func(arn string) (inventory.Function, bool) { return s.inventory.Current().Function(arn) },
		// Nothing is sent to AWS unless somebody asks for it.
		Elsewhere: function.NewElsewhere(function.ElsewhereConfig{Endpoint: lambda, Unknown: lambda != ""}),
		Log:       s.log.With("part", "function"),
		Output:    s.accessLogs.ShowOutput,
		// These are the APIs of this node's API port.
		Environment: map[string]string{
			"AWS_ENDPOINT_URL_VPC_LATTICE":                 endpoint,
			"AWS_ENDPOINT_URL_STS":                         endpoint,
			"AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API": endpoint,
		},
	})
	s.atClose(func() error { s.functions.Close(); return nil }) // Functions close after the exchanges that invoke them.
	s.gateway = gateway.New(gateway.Config{Functions: s.functions, Log: s.log.With("part", "function")})
	s.atClose(func() error { s.gateway.Close(); return nil })
	if s.inventory != nil {
		s.functions.Declare(s.inventory.Current().Functions())
		s.inventory.OnChange(func(current *inventory.Snapshot) { s.functions.Declare(current.Functions()) })
	}
	return nil
}

// declaredFunctions returns the functions of the command line. They run in this program's working directory.
func (s *Server) declaredFunctions() ([]inventory.Function, error) {
	if len(s.cfg.Functions) == 0 {
		return nil, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("finding the directory in which functions run: %w", err)
	}
	var functions []inventory.Function
	for _, declared := range s.cfg.Functions {
		f, err := inventory.NewFunction(declared.ARN(lattice.Scope{Region: s.cfg.Region, Account: s.cfg.Account}), declared.Command, here)
		if err != nil {
			return nil, fmt.Errorf("--function %s: %w", declared.Name, err)
		}
		functions = append(functions, f)
	}
	return functions, nil
}

// connectFunction returns a connection for one request to a target that is not on the network, which is a function.
func (s *Server) connectFunction(t *routing.Target) net.Conn {
	return s.gateway.Connect(t.Place.Function, t.Group.EventVersion)
}

// explainFunction returns what is known about the function of a target.
func (s *Server) explainFunction(arn string) console.FunctionReport {
	var f console.FunctionReport
	if err := s.functions.Problem(arn); err != nil {
		f.Problem = err.Error()
	}
	if report, ok := s.functions.Report(arn); ok {
		f.Report = &report
	}
	return f
}
