package clients_test

import "testing"

func (e environment) terraform(t *testing.T) { t.Parallel() }
