package lattice

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// QuotaID identifies a quota in code. It is not a string, so that a misspelt one does not compile: it would be a quota of
// 0, which refuses everything.
type QuotaID int

// The quotas, of which defaultQuotas has an entry each.
const (
	QuotaServicesPerRegion QuotaID = iota
	QuotaServiceNetworksPerRegion
	QuotaTargetGroupsPerRegion
	QuotaTargetGroupsPerService
	QuotaTargetsPerTargetGroup
	QuotaListenersPerService
	QuotaRulesPerListener
	QuotaServiceAssociationsPerServiceNetwork
	QuotaVpcAssociationsPerServiceNetwork
	QuotaResourceConfigurationsPerRegion
	QuotaResourceConfigurationsPerServiceNetwork
	QuotaChildResourceConfigurationsPerGroup
	QuotaResourceGatewaysPerVpc
	QuotaDomainVerificationsPerRegion
	quotaCount
)

// Quota is a limit.
type Quota struct {
	// Name is its name in the configuration, Code is AWS's, and Text says what it counts.
	Name, Code, Text string
	Limit            int
	// Max is how far the limit can be raised. 0 means that it is not bounded.
	Max int
}

// QuotaTable has every quota at the index of its id.
type QuotaTable [quotaCount]Quota

// defaultQuotas returns AWS's quotas (UG quotas), except the one of VPC endpoints. The limit to which a service
// network's can be raised is AWS's, and a group's is ours.
func defaultQuotas() QuotaTable {
	return QuotaTable{
		QuotaServicesPerRegion:                       {Name: "servicesPerRegion", Code: "L-620C821E", Limit: 2000, Text: "services per Region"},
		QuotaServiceNetworksPerRegion:                {Name: "serviceNetworksPerRegion", Code: "L-9CAD07FB", Limit: 50, Text: "service networks per Region"},
		QuotaTargetGroupsPerRegion:                   {Name: "targetGroupsPerRegion", Code: "L-BB11C6B9", Limit: 500, Text: "target groups per Region"},
		QuotaTargetGroupsPerService:                  {Name: "targetGroupsPerService", Code: "L-3DEC3B9F", Limit: 10, Text: "target groups per service"},
		QuotaTargetsPerTargetGroup:                   {Name: "targetsPerTargetGroup", Code: "L-D71303F3", Limit: 1000, Text: "targets per target group"},
		QuotaListenersPerService:                     {Name: "listenersPerService", Code: "L-D64E952E", Limit: 2, Text: "listeners per service"},
		QuotaRulesPerListener:                        {Name: "rulesPerListener", Code: "L-CF78395E", Limit: 10, Text: "rules per listener"},
		QuotaServiceAssociationsPerServiceNetwork:    {Name: "serviceAssociationsPerServiceNetwork", Code: "L-75D4A19E", Limit: 500, Text: "service associations per service network"},
		QuotaVpcAssociationsPerServiceNetwork:        {Name: "vpcAssociationsPerServiceNetwork", Code: "L-EF6E2D62", Limit: 500, Text: "VPC associations per service network"},
		QuotaResourceConfigurationsPerRegion:         {Name: "resourceConfigurationsPerRegion", Code: "L-5FF8F9B9", Limit: 2000, Text: "resource configurations per Region"},
		QuotaResourceConfigurationsPerServiceNetwork: {Name: "resourceConfigurationsPerServiceNetwork", Code: "L-6095700C", Limit: 500, Max: 1000, Text: "resource configurations per service network"},
		QuotaChildResourceConfigurationsPerGroup:     {Name: "childResourceConfigurationsPerGroup", Code: "L-9BC96FEF", Limit: 60, Max: 100, Text: "child resource configurations per group"},
		QuotaResourceGatewaysPerVpc:                  {Name: "resourceGatewaysPerVpc", Code: "L-0DCA4434", Limit: 500, Text: "resource gateways per VPC"},
		QuotaDomainVerificationsPerRegion:            {Name: "domainVerificationsPerRegion", Code: "L-73D0F278", Limit: 5, Text: "domain verifications per Region"},
	}
}

// QuotaNamed returns the quota with a name in the configuration.
func QuotaNamed(name string) (QuotaID, bool) {
	for id, quota := range defaultQuotas() {
		if quota.Name == name {
			return QuotaID(id), true
		}
	}
	return 0, false
}

// Quotas are the limits that the operator has changed, by name. AWS lets an account have them raised (UG quotas).
type Quotas map[string]int

// Check names every quota that does not exist, is below one or above its maximum.
func (q Quotas) Check() error {
	quotas := defaultQuotas()
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(q)) {
		id, ok := QuotaNamed(name)
		switch {
		case !ok:
			var known []string
			for _, quota := range quotas {
				known = append(known, quota.Name)
			}
			slices.Sort(known)
			problems = append(problems, fmt.Errorf("quota %q does not exist; the quotas are %s", name, strings.Join(known, ", ")))
		case q[name] < 1:
			problems = append(problems, fmt.Errorf("quota %s is %d; it must be at least 1", name, q[name]))
		case quotas[id].Max > 0 && q[name] > quotas[id].Max:
			problems = append(problems, fmt.Errorf("quota %s is %d; it must be at most %d", name, q[name], quotas[id].Max))
		}
	}
	return errors.Join(problems...)
}

// InForce returns all quotas: the defaults with the operator's changes, which Check has admitted.
func (q Quotas) InForce() QuotaTable {
	quotas := defaultQuotas()
	for name, limit := range q {
		if id, ok := QuotaNamed(name); ok {
			quotas[id].Limit = limit
		}
	}
	return quotas
}
