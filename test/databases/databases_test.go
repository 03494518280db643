// Package databases reaches a real PostgreSQL and a real Redis behind resource configurations, with psql and redis-cli and by the
// names that the API shows.
package databases

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

const (
	ipv6Range = "fd7e:6c6d::/64"
	cluster   = "arn:aws:rds:us-west-2:123456789012:cluster:carts"
	writer    = "carts.cluster-c9akciq32.us-west-2.rds.amazonaws.com"
	private   = "db.example.test"
)

var (
	addresses = trellistest.ResourceRange()
	dnsServer = fmt.Sprintf("127.%d.255.1", addresses.Addr().As4()[1])
)

// installed returns where PostgreSQL's programs are, and skips the test where it cannot do what it needs.
func installed(t *testing.T) (directory string) {
	t.Helper()
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("needs root, for a DNS server on port 53, a local route and a resolv.conf of its own: sudo env PATH=$PATH go test ./test/databases")
	}
	return trellistest.Install(t, "databases.sh")
}

// run runs a program that serves until the end of the test, as a user if one is given.
func run(t *testing.T, as *syscall.Credential, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT) // PostgreSQL's fast shutdown.
		_ = cmd.Wait()
	})
}

// postgres is a PostgreSQL that has been set up.
type postgres struct {
	as   *syscall.Credential
	args []string // except for the port
}

// newPostgres sets up a PostgreSQL for the loopback.
func newPostgres(t *testing.T, programs string) postgres {
	t.Helper()
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	as := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	directory, err := os.MkdirTemp("", "trellis-postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(directory) })
	if err := os.Chown(directory, uid, gid); err != nil {
		t.Fatal(err)
	}
	initdb := exec.Command(filepath.Join(programs, "initdb"), "-D", directory, "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = "/", &syscall.SysProcAttr{Credential: as}
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	return postgres{as, []string{filepath.Join(programs, "postgres"), "-D", directory, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off"}}
}

// startPostgres starts a PostgreSQL on the loopback and returns its port.
func startPostgres(t *testing.T, programs string) int {
	t.Helper()
	p, port := newPostgres(t, programs), trellistest.FreePort(t)
	run(t, p.as, p.args[0], append(p.args[1:], "-p", strconv.Itoa(port))...)
	awaitPort(t, port)
	return port
}

func startRedis(t *testing.T) int {
	t.Helper()
	port := trellistest.FreePort(t)
	run(t, nil, "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	awaitPort(t, port)
	return port
}

func awaitPort(t *testing.T, port int) {
	t.Helper()
	trellistest.Await(t, func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, "something answers on port %d", port)
}

// routeIPv6 makes addresses of the range local, and reports whether this machine can.
func routeIPv6(t *testing.T) bool {
	t.Helper()
	if exec.Command("ip", "-6", "route", "add", "local", ipv6Range, "dev", "lo").Run() != nil {
		return false
	}
	t.Cleanup(func() { exec.Command("ip", "-6", "route", "del", "local", ipv6Range, "dev", "lo").Run() })
	return true
}

// world is a node, and how programs see it.
type world struct {
	t          *testing.T
	api        *vpclattice.Client
	resolvConf string
	network    *string
	gateway    *string
}

// program runs a program whose resolver asks the node's DNS, and returns what it prints.
func (w *world) program(name string, args ...string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	script := `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"-m", "sh", "-c", script, w.resolvConf, name}, args...)...)
	cmd.Env = append(os.Environ(), "PGCONNECT_TIMEOUT=20")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (w *world) expectPostgres(what, host string, port int) {
	w.t.Helper()
	got, err := w.program("psql", "-h", host, "-p", strconv.Itoa(port), "-U", "postgres", "-Atc", "select 6 * 7")
	if err != nil || got != "42" {
		w.t.Errorf("%s: psql -h %s: %q, %v", what, host, got, err)
	}
}

func (w *world) expectRedis(what, host string, port int) {
	w.t.Helper()
	got, err := w.program("redis-cli", "-h", host, "-p", strconv.Itoa(port), "ping")
	if err != nil || got != "PONG" {
		w.t.Errorf("%s: redis-cli -h %s: %q, %v", what, host, got, err)
	}
}

// configuration creates a resource configuration.
func (w *world) configuration(in *vpclattice.CreateResourceConfigurationInput) *string {
	w.t.Helper()
	if in.Type != types.ResourceConfigurationTypeChild {
		in.ResourceGatewayIdentifier = w.gateway
	}
	out, err := w.api.CreateResourceConfiguration(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Id
}

// associate associates a resource configuration with the network, and returns the names of all associations that come of it,
// by the name of the resource configuration.
func (w *world) associate(configuration *string, privateDNS bool) map[string]string {
	w.t.Helper()
	ctx := w.t.Context()
	if _, err := w.api.CreateServiceNetworkResourceAssociation(ctx, &vpclattice.CreateServiceNetworkResourceAssociationInput{
		ServiceNetworkIdentifier: w.network, ResourceConfigurationIdentifier: configuration, PrivateDnsEnabled: &privateDNS}); err != nil {
		w.t.Fatal(err)
	}
	list, err := w.api.ListServiceNetworkResourceAssociations(ctx, &vpclattice.ListServiceNetworkResourceAssociationsInput{
		ResourceConfigurationIdentifier: configuration, IncludeChildren: aws.Bool(true)})
	if err != nil {
		w.t.Fatal(err)
	}
	names := map[string]string{}
	for _, item := range list.Items {
		got, err := w.api.GetServiceNetworkResourceAssociation(ctx, &vpclattice.GetServiceNetworkResourceAssociationInput{ServiceNetworkResourceAssociationIdentifier: item.Id})
		if err != nil {
			w.t.Fatal(err)
		}
		if got.DnsEntry != nil {
			names[*got.ResourceConfigurationName] = *got.DnsEntry.DomainName
		}
	}
	return names
}

func ipResource() types.ResourceConfigurationDefinition {
	return &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: aws.String("127.0.0.1")}}
}

func TestDatabasesAreReachedByTheirNames(t *testing.T) {
	programs := installed(t)
	postgres, redis := startPostgres(t, programs), startRedis(t)
	ranges, hasIPv6 := addresses.String(), routeIPv6(t)
	if hasIPv6 {
		ranges += "," + ipv6Range
	}
	inventory := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(inventory, fmt.Appendf(nil, `
vpcs:
  - {id: vpc-0123456789abcdef1, cidrs: [127.0.0.0/24, "::/0"]}
  - {id: vpc-0123456789abcdef2, cidrs: [127.0.2.0/24]}
databases:
  - arn: %s
    endpoints:
      - {role: writer, address: 127.0.0.1, port: %d, domainName: %s}
      - {role: reader, address: 127.0.0.1, port: %d, domainName: carts.cluster-ro-c9akciq32.us-west-2.rds.amazonaws.com}
`, cluster, postgres, writer, postgres), 0o600); err != nil {
		t.Fatal(err)
	}
	node := trellistest.Start(t, trellistest.BuildFast(t), "dev", "--port-map", "80=0,443=0", "--inventory", inventory,
		"--resource-range", ranges, "--allow-remote", "--dns-addr", dnsServer+":53")
	w := &world{t: t, resolvConf: filepath.Join(t.TempDir(), "resolv.conf"), api: vpclattice.New(vpclattice.Options{
		BaseEndpoint: aws.String(node.API), Region: "us-west-2", Credentials: aws.AnonymousCredentials{}})}
	if err := os.WriteFile(w.resolvConf, []byte("nameserver "+dnsServer+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	gateway, err := w.api.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{
		Name: aws.String("gate"), VpcIdentifier: aws.String("vpc-0123456789abcdef9"), SubnetIds: []string{"subnet-0123456789abcdef0"}})
	if err != nil {
		t.Fatal(err)
	}
	network, err := w.api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("net")})
	if err != nil {
		t.Fatal(err)
	}
	w.gateway, w.network = gateway.Id, network.Id
	if _, err := w.api.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{
		ServiceNetworkIdentifier: network.Id, VpcIdentifier: aws.String("vpc-0123456789abcdef1"), PrivateDnsEnabled: aws.Bool(true),
		DnsOptions: &types.DnsOptions{PrivateDnsPreference: types.PrivateDnsPreferenceAllDomains}}); err != nil {
		t.Fatal(err)
	}

	single := w.associate(w.configuration(&vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("orders"), Type: types.ResourceConfigurationTypeSingle, PortRanges: []string{strconv.Itoa(postgres)},
		ResourceConfigurationDefinition: ipResource(), CustomDomainName: aws.String(private)}), true)
	w.expectPostgres("SINGLE", single["orders"], postgres)
	w.expectPostgres("SINGLE, by its private name", private, postgres)

	group := w.configuration(&vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("stores"), Type: types.ResourceConfigurationTypeGroup, PortRanges: []string{strconv.Itoa(postgres), strconv.Itoa(redis)}})
	for _, name := range []string{"store-postgres", "store-redis"} {
		w.configuration(&vpclattice.CreateResourceConfigurationInput{
			Name: &name, Type: types.ResourceConfigurationTypeChild, ResourceConfigurationGroupIdentifier: group, ResourceConfigurationDefinition: ipResource()})
	}
	children := w.associate(group, false)
	w.expectPostgres("CHILD", children["store-postgres"], postgres)
	w.expectRedis("CHILD", children["store-redis"], redis)

	database := w.associate(w.configuration(&vpclattice.CreateResourceConfigurationInput{
		Name: aws.String("carts"), Type: types.ResourceConfigurationTypeArn,
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberArnResource{Value: types.ArnResource{Arn: aws.String(cluster)}}}), true)
	if len(database) != 3 {
		t.Errorf("the cluster has the associations %v", database)
	}
	for name, host := range database {
		w.expectPostgres("ARN, "+name, host, postgres)
	}
	w.expectPostgres("ARN, by the name that RDS gives", writer, postgres)

	found := w.lookUp("127.0.0.1", single["orders"])
	want := 1
	if hasIPv6 {
		want = 2
		for _, address := range found {
			w.expectPostgres("SINGLE, by each of its addresses", address, postgres)
		}
		w.expectRedis("CHILD, by IPv6", w.lookUp("127.0.0.1", children["store-redis"])[1], redis)
	}
	if len(found) != want {
		t.Errorf("%s has the addresses %v, want %d", single["orders"], found, want)
	}

	for _, name := range []string{single["orders"], private, children["store-redis"], writer} {
		if found := w.lookUp("127.0.2.1", name); len(found) > 0 {
			t.Errorf("from the wrong VPC %s is %v", name, found)
		}
	}
	if err := w.connectFrom("127.0.2.1", netip.MustParseAddr(found[0]), postgres); err == nil {
		t.Error("from the wrong VPC the database is reached")
	}
}

// lookUp asks the node's DNS from an address, and returns the addresses of IPv4 first.
func (w *world) lookUp(source, name string) []string {
	w.t.Helper()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(source)}}
		return dialer.DialContext(ctx, "udp", dnsServer+":53")
	}}
	var list []string
	for _, family := range []string{"ip4", "ip6"} {
		found, _ := resolver.LookupNetIP(w.t.Context(), family, name+".")
		for _, address := range found {
			list = append(list, address.Unmap().String())
		}
	}
	return list
}

// connectFrom connects from an address and sends something that a database would answer.
func (w *world) connectFrom(source string, to netip.Addr, port int) error {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 20 * time.Second}
	conn, err := dialer.Dial("tcp", netip.AddrPortFrom(to, uint16(port)).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest of PostgreSQL's protocol.
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}
