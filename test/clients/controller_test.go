package clients_test

import "testing"

func (e environment) gatewayController(t *testing.T) { t.Parallel() }
