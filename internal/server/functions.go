package server

import (
	"trellis/internal/function"
	"trellis/internal/inventory"
)

// openFunctions makes the functions of the inventory ready to be invoked.
func (s *Server) openFunctions() {
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
	if s.inventory != nil {
		s.functions.Declare(s.inventory.Current().Functions())
		s.inventory.OnChange(func(current *inventory.Snapshot) { s.functions.Declare(current.Functions()) })
	}
}
