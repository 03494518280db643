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
	if got := good.InForce()[QuotaRulesPerListener]; got.Limit != 100 || got.Code != "L-CF78395E" {
		t.Errorf("the quota in force is %+v", got)
	}
}

func TestEveryQuotaIsComplete(t *testing.T) {
	names, codes := map[string]bool{}, map[string]bool{}
	for id, q := range defaultQuotas() {
		if q.Name == "" || q.Code == "" || q.Text == "" || q.Limit < 1 || q.Max > 0 && q.Max < q.Limit {
			t.Errorf("quota %d is %+v", id, q)
		}
		if names[q.Name] || codes[q.Code] {
			t.Errorf("there are two quotas with the name %s or the code %s", q.Name, q.Code)
		}
		names[q.Name], codes[q.Code] = true, true
		if found, ok := QuotaNamed(q.Name); !ok || found != QuotaID(id) {
			t.Errorf("%s leads to the quota %d, not to %d", q.Name, found, id)
		}
	}
}
