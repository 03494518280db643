package inventory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"trellis/internal/lattice"
)

const sample = `
vpcs:
  - id: vpc-0123456789abcdef0
    cidrs: [10.0.0.0/16, "fd00:1::/64"]
  - id: vpc-11111111
    cidrs: [10.1.0.0/16]
    defaultSecurityGroup: sg-0123456789abcdef0
instances:
  - id: i-0123456789abcdef0
    address: 10.0.1.10
    vpc: vpc-0123456789abcdef0
loadBalancers:
  - arn: arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/web/0123456789abcdef
    address: 127.0.0.1
functions:
  - arn: arn:aws:lambda:us-west-2:123456789012:function:orders
    command: ./orders --fast
certificates:
  - arn: arn:aws:acm:us-west-2:123456789012:certificate/12345678-1234-1234-1234-123456789012
    certificate: shop.pem
    key: shop.key
vpcEndpoints:
  - id: vpce-0123456789abcdef1
    vpc: vpc-11111111
    type: Resource
    resourceConfiguration: rcfg-0123456789abcdef0
  - id: vpce-0123456789abcdef0
    vpc: vpc-11111111
    owner: "210987654321"
    type: Resource
    resourceConfiguration: arn:aws:vpc-lattice:us-west-2:123456789012:resourceconfiguration/rcfg-0123456789abcdef0
  - id: vpce-0123456789abcdef2
    vpc: vpc-11111111
    type: ServiceNetwork
    serviceNetwork: sn-0123456789abcdef0
    createdAt: 2026-01-31T12:00:00+01:00
`

// writeSample writes the sample, with the PEM files that it names, and returns the file's name.
func writeSample(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "inventory.yaml")
	certificate, key := selfSigned(t)
	write(t, filepath.Join(filepath.Dir(name), "shop.pem"), certificate)
	write(t, filepath.Join(filepath.Dir(name), "shop.key"), key)
	write(t, name, sample)
	return name
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"shop.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func open(t *testing.T, name string) *Inventory {
	t.Helper()
	i, err := Open(t.Context(), Config{Path: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestEverythingInTheFileIsFound(t *testing.T) {
	i := open(t, writeSample(t))
	defer i.Close()
	s := i.Current()

	if vpc, ok := s.VPC("vpc-11111111"); !ok || vpc.CIDRs[0] != netip.MustParsePrefix("10.1.0.0/16") || vpc.DefaultSecurityGroup != "sg-0123456789abcdef0" {
		t.Errorf("VPC: %v, %t", vpc, ok)
	}
	if instance, ok := s.Instance("i-0123456789abcdef0"); !ok || instance.Address != netip.MustParseAddr("10.0.1.10") || instance.VPC != "vpc-0123456789abcdef0" {
		t.Errorf("instance: %v, %t", instance, ok)
	}
	if balancer, ok := s.LoadBalancer("arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/web/0123456789abcdef"); !ok || !balancer.Address.IsLoopback() {
		t.Errorf("load balancer: %v, %t", balancer, ok)
	}
	for _, arn := range []string{"", ":$LATEST", ":live"} {
		if function, ok := s.Function("arn:aws:lambda:us-west-2:123456789012:function:orders" + arn); !ok || function.Name() != "orders" || len(function.Command) != 2 {
			t.Errorf("function%s: %v, %t", arn, function, ok)
		}
	}
	if certificate, ok := s.Certificate("arn:aws:acm:us-west-2:123456789012:certificate/12345678-1234-1234-1234-123456789012"); !ok || certificate.TLS.Leaf.DNSNames[0] != "shop.example.com" {
		t.Errorf("certificate: %v, %t", certificate, ok)
	}
	for _, unknown := range []string{"i-00000000", "vpc-00000000", "arn:aws:lambda:us-west-2:123456789012:function:other", "arn"} {
		_, isInstance := s.Instance(unknown)
		_, isVPC := s.VPC(unknown)
		_, isFunction := s.Function(unknown)
		_, isBalancer := s.LoadBalancer(unknown)
		_, isCertificate := s.Certificate(unknown)
		if isInstance || isVPC || isFunction || isBalancer || isCertificate {
			t.Errorf("%s was found", unknown)
		}
	}
}

func TestVPCOfAnAddressIsTheOneWhoseNetworkContainsIt(t *testing.T) {
	i := open(t, writeSample(t))
	defer i.Close()
	for address, want := range map[string]string{
		"10.0.0.0":         "vpc-0123456789abcdef0",
		"10.0.255.255":     "vpc-0123456789abcdef0",
		"10.1.0.1":         "vpc-11111111",
		"::ffff:10.1.0.1":  "vpc-11111111",
		"fd00:1::7":        "vpc-0123456789abcdef0",
		"9.255.255.255":    "",
		"10.2.0.0":         "",
		"fd00:1:0:1::":     "",
		"::":               "",
		"ffff::":           "",
		"fe80::1%loopback": "",
	} {
		if got, ok := i.Current().VPCOf(netip.MustParseAddr(address)); got != want || ok != (want != "") {
			t.Errorf("%s is in %q, want %q", address, got, want)
		}
	}
}

func TestEndpointsAreThoseThatLeadToTheRecord(t *testing.T) {
	i := open(t, writeSample(t))
	defer i.Close()
	scope := lattice.Scope{Account: "123456789012", Region: "us-west-2"}
	type endpoint struct{ ID, Owner string }
	list := func(endpoints []VPCEndpoint) (shown []endpoint) {
		for _, e := range endpoints {
			shown = append(shown, endpoint{e.ID, e.Owner})
		}
		return shown
	}
	for _, test := range []struct {
		name string
		got  []VPCEndpoint
		want []endpoint
	}{
		{"by id and by ARN, in order", i.Current().ResourceEndpoints(lattice.ResourceConfigurationKey(scope, "rcfg-0123456789abcdef0")),
			[]endpoint{{"vpce-0123456789abcdef0", "210987654321"}, {"vpce-0123456789abcdef1", "123456789012"}}},
		{"an ARN of another Region is another's", i.Current().ResourceEndpoints(lattice.ResourceConfigurationKey(lattice.Scope{Account: "123456789012", Region: "eu-west-1"}, "rcfg-0123456789abcdef0")),
			[]endpoint{{"vpce-0123456789abcdef1", "123456789012"}}},
		{"another configuration", i.Current().ResourceEndpoints(lattice.ResourceConfigurationKey(scope, "rcfg-0123456789abcdef1")), nil},
		{"service network", i.Current().ServiceNetworkEndpoints(lattice.ServiceNetworkKey(scope, "sn-0123456789abcdef0")),
			[]endpoint{{"vpce-0123456789abcdef2", "123456789012"}}},
	} {
		if diff := cmp.Diff(test.want, list(test.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	created := i.Current().ServiceNetworkEndpoints(lattice.ServiceNetworkKey(scope, "sn-0123456789abcdef0"))[0].CreatedAt
	if want := time.Date(2026, 1, 31, 11, 0, 0, 0, time.UTC); created != want {
		t.Errorf("the endpoint was created at %s, want %s", created, want)
	}
}

func TestNothingIsFoundWithoutAnInventory(t *testing.T) {
	var none *Inventory
	s := none.Current()
	_, isInstance := s.Instance("i-00000000")
	_, isVPC := s.VPC("vpc-00000000")
	_, isFunction := s.Function("arn")
	_, isBalancer := s.LoadBalancer("arn")
	_, isCertificate := s.Certificate("arn")
	_, isInVPC := s.VPCOf(netip.MustParseAddr("10.0.0.1"))
	if isInstance || isVPC || isFunction || isBalancer || isCertificate || isInVPC {
		t.Error("something was found")
	}
	if s.ResourceEndpoints(lattice.Key{}) != nil || s.ServiceNetworkEndpoints(lattice.Key{}) != nil {
		t.Error("an endpoint was found")
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	_, err := Parse([]byte(`
colour: red
vpcs:
  - id: vpc-1
    cidrs: [10.0.0.1/16]
  - id: vpc-11111111
    cidrs: [10.1.0.0/16, 10.0.0.0/8]
  - id: vpc-11111111
    defaultSecurityGroup: default
instances:
  - address: ten
  - id: i-00000001
    address: 10.0.0.1
    vpc: vpc-22222222
    name: web
  - not a map
loadBalancers:
  - arn: web
    address: 0.0.0.0
functions:
  - arn: arn:aws:lambda:us-west-2:123456789012:function:orders
  - arn: arn:aws:lambda:us-west-2:123456789012:function:carts
    endpoint: localhost:9000
    memory: 128
  - arn: arn:aws:lambda:us-west-2:123456789012:function:stock
    command: "./stock 'now"
    environment: {AWS_REGION: us-west-2}
    timeout: 20
    memory: much
    concurrency: 0
  - arn: arn:aws:lambda:us-west-2:123456789012:function:users
    command: []
    endpoint: http://127.0.0.1:5000
    url: http://127.0.0.1:5000
certificates:
  - arn: arn:aws:acm:us-west-2:123456789012:certificate/1
    certificate: shop.pem
  - arn: arn:aws:acm:us-west-2:123456789012:certificate/2
    certificate: missing.pem
    key: shop.pem
  - arn: arn:aws:acm:us-west-2:123456789012:certificate/3
    certificate: shop.pem
    key: shop.pem
vpcEndpoints:
  - id: vpce-1
    vpc: vpc-11111111
    owner: me
    type: Gateway
  - id: vpce-00000000000000001
    vpc: vpc-11111111
    type: Resource
    serviceNetwork: sn-0123456789abcdef0
    createdAt: yesterday
  - id: vpce-00000000000000002
    vpc: vpc-11111111
    type: ServiceNetwork
    serviceNetwork: rcfg-0123456789abcdef0
    resourceConfiguration: rcfg-0123456789abcdef0
`), "/", func(name string) ([]byte, error) {
		if name != "shop.pem" {
			return nil, os.ErrNotExist
		}
		return []byte("nothing"), nil
	})
	if err == nil {
		t.Fatal("it was accepted")
	}
	want := strings.TrimSpace(`
line 2: there is no list "colour"; the lists are certificates, databases, functions, instances, loadBalancers, securityGroups, vpcEndpoints, vpcs
line 15: there is no key "name" in an element of instances; the keys are address, id, securityGroups, state, vpc
line 34: there is no key "url" in an element of functions; the keys are arn, command, concurrency, directory, endpoint, environment, handler, memory, timeout, watch
line 16: cannot unmarshal !!str ` + "`not a map`" + `
vpcs[0] (vpc-1): id must be like vpc-0123456789abcdef0
vpcs[0] (vpc-1): cidrs: "10.0.0.1/16" must be a network, such as 10.0.0.0/16
vpcs[1] (vpc-11111111): cidrs: 10.0.0.0/8 overlaps with 10.1.0.0/16 of vpc-11111111
vpcs[2] (vpc-11111111): there is another element with this id
vpcs[2] (vpc-11111111): cidrs is missing; it lists the networks of the VPC, such as 10.0.0.0/16
vpcs[2] (vpc-11111111): defaultSecurityGroup: "default" must be like sg-0123456789abcdef0
instances[0]: id is missing
instances[0]: vpc is missing
instances[0]: address: "ten" must be the IP address of one machine
instances[1] (i-00000001): vpc: vpc-22222222 is not one of vpcs
loadBalancers[0] (web): arn must be like arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/app/web/0123456789abcdef
loadBalancers[0] (web): address: "0.0.0.0" must be the IP address of one machine
functions[0] (arn:aws:lambda:us-west-2:123456789012:function:orders): command or endpoint is missing: the program that runs the function, such as python3 -m awslambdaric app.handler, or the URL of the Lambda API that has it
functions[1] (arn:aws:lambda:us-west-2:123456789012:function:carts): endpoint: "localhost:9000" must be the base URL of a Lambda API, such as http://127.0.0.1:5000
functions[1] (arn:aws:lambda:us-west-2:123456789012:function:carts): memory is for functions with a command
functions[2] (arn:aws:lambda:us-west-2:123456789012:function:stock): command: has a quotation mark that nothing closes
functions[2] (arn:aws:lambda:us-west-2:123456789012:function:stock): environment: AWS_REGION is set for each function and cannot be changed
functions[2] (arn:aws:lambda:us-west-2:123456789012:function:stock): timeout: "20" must be a duration between 1s and 15m
functions[2] (arn:aws:lambda:us-west-2:123456789012:function:stock): memory: "much" must be a number of megabytes between 1 and 1048576
functions[2] (arn:aws:lambda:us-west-2:123456789012:function:stock): concurrency: "0" must be a number of processes between 1 and 1000
functions[3] (arn:aws:lambda:us-west-2:123456789012:function:users): command and endpoint cannot both be given: a function runs here or elsewhere
certificates[0] (arn:aws:acm:us-west-2:123456789012:certificate/1): key is missing; it names a PEM file
certificates[1] (arn:aws:acm:us-west-2:123456789012:certificate/2): certificate: file does not exist
certificates[2] (arn:aws:acm:us-west-2:123456789012:certificate/3): shop.pem and shop.pem: tls: failed to find any PEM data in certificate input
vpcEndpoints[0] (vpce-1): id must be like vpce-0123456789abcdef0
vpcEndpoints[0] (vpce-1): owner: "me" must be an account, which has 12 digits
vpcEndpoints[0] (vpce-1): type is "Gateway"; it must be Resource, ServiceNetwork or Tunnel
vpcEndpoints[1] (vpce-00000000000000001): createdAt: "yesterday" must be a time, such as 2026-01-31T12:00:00Z
vpcEndpoints[1] (vpce-00000000000000001): resourceConfiguration is missing
vpcEndpoints[1] (vpce-00000000000000001): serviceNetwork is for endpoints of the type ServiceNetwork
vpcEndpoints[2] (vpce-00000000000000002): serviceNetwork: "rcfg-0123456789abcdef0" must be an id or an ARN of a servicenetwork
vpcEndpoints[2] (vpce-00000000000000002): resourceConfiguration is for endpoints of the types Resource and Tunnel
`)
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFunctionsHaveDefaults(t *testing.T) {
	s, err := Parse([]byte(`
functions:
  - {arn: "arn:aws:lambda:us-west-2:123456789012:function:plain", command: python3 -m awslambdaric app.handler}
  - {arn: "arn:aws:lambda:us-west-2:123456789012:function:full", command: [./run, 'a b'], directory: shop, environment: {COLOUR: blue}, handler: app.other,
     timeout: 2m, memory: 512, concurrency: 3, watch: [app.py]}
`), "/where/the/file/is", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := s.Function("arn:aws:lambda:us-west-2:123456789012:function:plain")
	full, _ := s.Function("arn:aws:lambda:us-west-2:123456789012:function:full")
	if diff := cmp.Diff([]Function{{
		ARN: plain.ARN, Command: []string{"python3", "-m", "awslambdaric", "app.handler"}, Directory: "/where/the/file/is", Handler: "app.handler",
		Timeout: 30 * time.Second, MemoryMB: 128, Concurrency: 10, Watch: []string{"/where/the/file/is"},
	}, {
		ARN: full.ARN, Command: []string{"./run", "a b"}, Directory: "/where/the/file/is/shop", Environment: map[string]string{"COLOUR": "blue"}, Handler: "app.other",
		Timeout: 2 * time.Minute, MemoryMB: 512, Concurrency: 3, Watch: []string{"/where/the/file/is/shop/app.py"},
	}}, []Function{plain, full}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMalformedInventoriesAreRefused(t *testing.T) {
	for _, text := range []string{"vpcs: [", "- a\n- b", "vpcs: []\n---\nvpcs: []", "vpcs: []\nvpcs: []", "text"} {
		if _, err := Parse([]byte(text), "/", os.ReadFile); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	for _, text := range []string{"", "# nothing yet\n", "vpcs:\n", "vpcs: []\n"} {
		if _, err := Parse([]byte(text), "/", os.ReadFile); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "missing.yaml"), Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a file that does not exist was opened")
	}
}

func TestChangedFileIsReadAgain(t *testing.T) {
	name := writeSample(t)
	synctest.Test(t, func(t *testing.T) {
		i := open(t, name)
		defer i.Close()
		changes := 0
		i.OnChange(func(s *Snapshot) {
			changes++
			if s != i.Current() {
				t.Error("the new snapshot is not the current one")
			}
		})
		first := i.Current()
		expect := func(what string, want int) {
			t.Helper()
			time.Sleep(2 * pollInterval)
			synctest.Wait()
			if changes != want {
				t.Errorf("%s: %d changes, want %d", what, changes, want)
			}
		}
		expect("nothing done", 0)

		write(t, name, strings.ReplaceAll(sample, "10.0.1.10", "10.0.1.11"))
		expect("another address", 1)
		if instance, _ := i.Current().Instance("i-0123456789abcdef0"); instance.Address != netip.MustParseAddr("10.0.1.11") {
			t.Errorf("the instance is at %s", instance.Address)
		}
		if instance, _ := first.Instance("i-0123456789abcdef0"); instance.Address != netip.MustParseAddr("10.0.1.10") {
			t.Error("the first snapshot has changed")
		}

		good := i.Current()
		write(t, name, "vpcs: [")
		expect("a mistake", 1)
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		expect("no file", 1)
		if i.Current() != good {
			t.Error("what was known was forgotten")
		}
		write(t, name, sample)
		expect("mended", 2)

		certificate, key := selfSigned(t)
		write(t, filepath.Join(filepath.Dir(name), "shop.pem"), certificate)
		expect("a certificate without its key", 2)
		write(t, filepath.Join(filepath.Dir(name), "shop.key"), key)
		expect("a renewed certificate", 3)
	})
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("vpcs: [{id: vpc-11111111, cidrs: [0.0.0.0/0]}]")
	f.Add("a: &a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse([]byte(text), "/", func(string) ([]byte, error) { return nil, os.ErrNotExist })
		if (s == nil) == (err == nil) {
			t.Errorf("snapshot %v, error %v", s, err)
		}
	})
}

func TestElementsCanBeWrittenOnceAndMerged(t *testing.T) {
	snapshot, err := Parse([]byte("vpcs:\n  - &first\n    id: vpc-11111111\n    cidrs: [10.0.0.0/16]\n  - <<: *first\n    id: vpc-22222222\n    cidrs: [10.1.0.0/16]\n"), "/", os.ReadFile)
	if err != nil || snapshot == nil {
		t.Errorf("it is refused: %v", err)
	}
}

func TestOneEndpointOfAVPCHasThePrivateNamesOfAResource(t *testing.T) {
	parse := func(endpoints string) error {
		_, err := Parse([]byte(`
vpcs:
  - {id: vpc-11111111, cidrs: [10.1.0.0/16]}
  - {id: vpc-22222222, cidrs: [10.2.0.0/16]}
vpcEndpoints:
`+endpoints), "/", nil)
		return err
	}
	const first = "  - {id: vpce-00000000000000001, vpc: vpc-11111111, type: Resource, resourceConfiguration: rcfg-0123456789abcdef0, privateDnsEnabled: true}\n"
	for name, second := range map[string]string{
		"in another VPC":            "  - {id: vpce-00000000000000002, vpc: vpc-22222222, type: Resource, resourceConfiguration: rcfg-0123456789abcdef0, privateDnsEnabled: true}\n",
		"to another resource":       "  - {id: vpce-00000000000000002, vpc: vpc-11111111, type: Resource, resourceConfiguration: rcfg-0123456789abcdef1, privateDnsEnabled: true}\n",
		"without the private names": "  - {id: vpce-00000000000000002, vpc: vpc-11111111, type: Resource, resourceConfiguration: rcfg-0123456789abcdef0}\n",
	} {
		if err := parse(first + second); err != nil {
			t.Errorf("another endpoint %s: %v", name, err)
		}
	}
	err := parse(first + "  - {id: vpce-00000000000000002, vpc: vpc-11111111, type: Resource, resourceConfiguration: rcfg-0123456789abcdef0, privateDnsEnabled: true}\n")
	const want = "vpcEndpoints[1] (vpce-00000000000000002): privateDnsEnabled: clients in vpc-11111111 find the private names of rcfg-0123456789abcdef0 by vpce-00000000000000001 already; only one endpoint of a VPC can have them"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
