package resolver

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestAdviceDependsOnWhatTheSystemFinds(t *testing.T) {
	names := list{DNS: "127.0.0.1:7653", Entries: []entry{{Name: "orders.example.com", Addresses: address("127.0.0.1")}}}
	for _, c := range []struct {
		name   string
		system []netip.Addr
		good   bool
		advice string
	}{
		{"orders.example.com", address("127.0.0.1"), true, "find the name"},
		{"orders.example.com", address("::1"), true, "find the name"},
		{"orders.example.com", address("192.0.2.1"), false, "192.0.2.1"},
		{"orders.example.com", nil, false, "trellis dns setup"},
		{"order.example.com", nil, false, "It has orders.example.com"},
	} {
		good, advice := advise(c.name, names, nil, answer{addresses: c.system})
		if good != c.good || !strings.Contains(advice, c.advice) {
			t.Errorf("%s, which the system finds at %v: %t, %s", c.name, c.system, good, advice)
		}
	}
}

func TestNameserversAreReadFromResolvConf(t *testing.T) {
	text := "# nameserver 9.9.9.9\nnameserver 10.0.0.1\nsearch x\nnameserver fe80::1%eth0\nnameserver bad\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"
	got := nameservers(strings.NewReader(text))
	want := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("10.0.0.2")}
	if !slices.Equal(got, want) {
		t.Errorf("the servers are %v, want %v", got, want)
	}
}

func TestCheckReportsANameThatTheNodeDoesNotHave(t *testing.T) {
	url, _ := node(t, `{"names": [{"name": "orders.example.com", "addresses": ["127.0.0.1"]}]}`)
	var out, errOut bytes.Buffer
	file := hosts(t)
	Install{Admin: url, Hosts: file, Once: true, Yes: true}.Run(t.Context(), nil, &out, &errOut)
	out.Reset()
	code := Check{Admin: url, Hosts: file, Name: "unknown.example.com."}.Run(t.Context(), &out, &errOut)
	if code != exitFailed || !strings.Contains(out.String(), "The node has no such name") {
		t.Errorf("exit code %d:\n%s%s", code, &out, &errOut)
	}
	if code := (Check{Admin: url, Hosts: file, Name: "a b"}).Run(t.Context(), &out, &errOut); code != exitUsage {
		t.Errorf("exit code %d for what is no name", code)
	}
	if a := (Check{Hosts: file}).readHosts("orders.example.com"); !slices.Equal(a.addresses, address("127.0.0.1")) {
		t.Errorf("the hosts file has %v, %v", a.addresses, a.err)
	}
}

func TestSetupPrintsStepsAndHowToUndoThem(t *testing.T) {
	url, _ := node(t, `{"dns": "127.0.0.1:7653", "zones": ["vpc-lattice-svcs.us-west-2.localhost"], "names": [
		{"name": "a.7d67968.vpc-lattice-svcs.us-west-2.localhost", "addresses": ["127.0.0.1"]},
		{"name": "$(reboot).example.com", "addresses": ["127.0.0.1"]},
		{"name": "shop.example.com", "addresses": ["127.0.0.1"]}]}`)
	var out, errOut bytes.Buffer
	if code := (Setup{Admin: url}).Run(t.Context(), &out, &errOut); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errOut)
	}
	for _, want := range []string{
		`DNS=127.0.0.1:7653\nDNSSEC=no\nDomains=~vpc-lattice-svcs.us-west-2.localhost ~shop.example.com\n`,
		"'server=/shop.example.com/127.0.0.1#7653'",
		"sudo tee /etc/resolver/shop.example.com",
		"sudo rm /etc/resolver/vpc-lattice-svcs.us-west-2.localhost /etc/resolver/shop.example.com",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "reboot") || strings.Contains(out.String(), "a.7d67968") {
		t.Errorf("names that are invalid, or are in a zone, are printed:\n%s", &out)
	}
	if got := strings.Count(out.String(), "\nUndo:"); got != 4 {
		t.Errorf("%d of 4 ways say how they are undone", got)
	}
}
