package lattice

import (
	"strings"
	"testing"
)

func TestQuotasAreCheckedAllAtOnce(t *testing.T) {
	good := Quotas{"rulesPerListener": 100, "childResourceConfigurationsPerGroup": 100, "resourceConfigurationsPerServiceNetwork": 1000}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	err := Quotas{"rules": 1, "rulesPerListener": 0, "childResourceConfigurationsPerGroup": 101}.Check()
	if err == nil {
		t.Fatal("they were accepted")
	}
	for _, want := range []string{`"rules" does not exist`, "rulesPerListener is 0", "childResourceConfigurationsPerGroup is 101; it must be at most 100"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	if got := good.InForce()["rulesPerListener"]; got.Limit != 100 || got.Code != "L-CF78395E" {
		t.Errorf("the quota in force is %+v", got)
	}
}

func TestEveryCapIsThatOfAQuota(t *testing.T) {
	for name, limit := range quotaCaps {
		if quota, ok := DefaultQuotas()[name]; !ok || quota.Limit > limit {
			t.Errorf("%s has the cap %d and the default %d", name, limit, quota.Limit)
		}
	}
}
