package server

import (
	"context"

	"trellis/internal/function"
	"trellis/internal/inventory"
)

// openFunctions makes the functions of the inventory ready to be invoked.
func (s *Server) openFunctions(context.Context) error {
	endpoint := "http://" + s.apiListener.Addr().String()
	s.functions = function.New(function.Config{
		Lookup: func(arn string) (inventory.Function, bool) { return s.inventory.Current().Function(arn) },
		Log:    s.log.With("part", "function"),
		// The APIs that this node's API port answers.
		Environment: map[string]string{
			"AWS_ENDPOINT_URL_VPC_LATTICE":                 endpoint,
			"AWS_ENDPOINT_URL_STS":                         endpoint,
			"AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API": endpoint,
		},
	})
	s.atClose(func() error { s.functions.Close(); return nil }) // After the exchanges that invoke them.
	if s.inventory != nil {
		s.functions.Declare(s.inventory.Current().Functions())
		s.inventory.OnChange(func(current *inventory.Snapshot) { s.functions.Declare(current.Functions()) })
	}
	return nil
}
