package lattice

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Quota is a limit: the code under which AWS knows it, its value, and what it counts.
type Quota struct {
	Code  string
	Limit int
	Text  string
}

// DefaultQuotas returns AWS's quotas by name (facts 6.5), but for the one of VPC endpoints.
func DefaultQuotas() map[string]Quota {
	return map[string]Quota{
		"servicesPerRegion":                       {"L-620C821E", 2000, "services per Region"},
		"serviceNetworksPerRegion":                {"L-9CAD07FB", 50, "service networks per Region"},
		"targetGroupsPerRegion":                   {"L-BB11C6B9", 500, "target groups per Region"},
		"targetGroupsPerService":                  {"L-3DEC3B9F", 10, "target groups per service"},
		"targetsPerTargetGroup":                   {"L-D71303F3", 1000, "targets per target group"},
		"listenersPerService":                     {"L-D64E952E", 2, "listeners per service"},
		"rulesPerListener":                        {"L-CF78395E", 10, "rules per listener"},
		"serviceAssociationsPerServiceNetwork":    {"L-75D4A19E", 500, "service associations per service network"},
		"vpcAssociationsPerServiceNetwork":        {"L-EF6E2D62", 500, "VPC associations per service network"},
		"resourceConfigurationsPerRegion":         {"L-5FF8F9B9", 2000, "resource configurations per Region"},
		"resourceConfigurationsPerServiceNetwork": {"L-6095700C", 500, "resource configurations per service network"},
		"childResourceConfigurationsPerGroup":     {"L-9BC96FEF", 60, "child resource configurations per group"},
		"resourceGatewaysPerVpc":                  {"L-0DCA4434", 500, "resource gateways per VPC"},
		"domainVerificationsPerRegion":            {"L-73D0F278", 5, "domain verifications per Region"},
	}
}

// Quotas are the limits that the operator has changed, by name. AWS lets an account have them raised (UG quotas).
type Quotas map[string]int

// quotaCaps are the quotas that cannot be raised at will: AWS's for a service network (UG quotas), ours for a group
//
var quotaCaps = map[string]int{
	"childResourceConfigurationsPerGroup":     100,
	"resourceConfigurationsPerServiceNetwork": 1000,
}

// Check names every quota that does not exist, is below one or above its cap.
func (q Quotas) Check() error {
	known := DefaultQuotas()
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch _, ok := known[name]; {
		case !ok:
			problems = append(problems, fmt.Errorf("quota %q does not exist; the quotas are %s",
				name, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		case q[name] < 1:
			problems = append(problems, fmt.Errorf("quota %s is %d; it must be at least 1", name, q[name]))
		case quotaCaps[name] > 0 && q[name] > quotaCaps[name]:
			problems = append(problems, fmt.Errorf("quota %s is %d; it must be at most %d", name, q[name], quotaCaps[name]))
		}
	}
	return errors.Join(problems...)
}

// InForce returns all quotas: the defaults with the operator's changes.
func (q Quotas) InForce() map[string]Quota {
	quotas := DefaultQuotas()
	for name, limit := range q {
		quota := quotas[name]
		quota.Limit = limit
		quotas[name] = quota
	}
	return quotas
}
