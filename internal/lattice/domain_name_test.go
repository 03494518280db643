package lattice

import (
	"strings"
	"testing"
)

func TestOnlyHostNamesAreCustomDomainNames(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	for _, name := range []string{
		"orders.example.com", "Orders.EXAMPLE.com", "orders", "1.example", "xn--bcher-kva.example", "a-b.c", label63 + ".com",
	} {
		if problem := DomainNameProblem(name); problem != "" {
			t.Errorf("%q is refused: %s", name, problem)
		}
	}
	for _, name := range []string{
		"", ".", "orders.", ".orders", "a..b", "*.example.com", "a_b.example", "a b.example", "bücher.example", "a\x00.example",
		"-a.example", "a-.example", label63 + "a.com", strings.Repeat(label63+".", 4) + "com",
		"10.0.0.1", "example.123", "[::1]", "orders.example.com:80",
		"a-0.7d67968.vpc-lattice-svcs.us-west-2.localhost", "VPC-Lattice-Svcs.us-west-2.on.aws",
	} {
		if DomainNameProblem(name) == "" {
			t.Errorf("%q is accepted as a host name", name)
		}
	}
}
