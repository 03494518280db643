package control

import (
	"fmt"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// checkQuota refuses to exceed a quota: count is how many there would be.
func (c *Control) checkQuota(id lattice.QuotaID, count int, kind lattice.Kind, resourceID string) error {
	q := c.quotas[id]
	if count <= q.Limit {
		return nil
	}
	return api.QuotaExceeded(resourceTypes[kind], resourceID, q.Code,
		fmt.Sprintf("The quota of %d %s (%s) is used up. Delete what is not needed, or raise the quota %s in the configuration.", q.Limit, q.Text, q.Code, q.Name))
}

// checkIndexQuota refuses to add one more record to an index that has reached the quota.
func (c *Control) checkIndexQuota(v catalog.View, id lattice.QuotaID, index lattice.Index, resourceID string) error {
	return c.checkQuota(id, v.Count(index)+1, index.Kind, resourceID)
}
