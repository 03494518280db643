package simulator

import (
	"testing"
)

const conformance = "../testdata/conformance"

func TestPoliciesDecideAsTheConformanceTableSays(t *testing.T) {
	cases, err := readCases(conformance)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 400 {
		t.Errorf("the table has %d cases, fewer than 400", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(); err != nil {
				t.Errorf("%s: %v", c.File, err)
			}
		})
	}
}
