package stories_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"trellis/test/trellistest"
)

// testAuthority issues certificates for a test, and writes them into a directory.
type testAuthority struct {
	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newTestAuthority(t *testing.T) *testAuthority {
	t.Helper()
	a := &testAuthority{dir: t.TempDir()}
	a.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key))(t)
	a.certificate = must(x509.ParseCertificate(der))(t)
	writePEM(t, filepath.Join(a.dir, "ca.pem"), "CERTIFICATE", der)
	return a
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// path returns the path of a file of the authority's.
func (a *testAuthority) path(name string) string { return filepath.Join(a.dir, name) }

// issue writes NAME.pem and NAME-key.pem, for 127.0.0.1 and for clients, which are valid for a while, or no longer.
func (a *testAuthority) issue(t *testing.T, name string, valid time.Duration) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	writePEM(t, a.path(name+".pem"), "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key))(t))
	writePEM(t, a.path(name+"-key.pem"), "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(key))(t))
}

// startSecureEtcd starts an etcd that asks clients for certificates of an authority, and returns its endpoint.
func startSecureEtcd(t *testing.T, a *testAuthority, certificate string, args ...string) string {
	t.Helper()
	endpoint := fmt.Sprintf("https://127.0.0.1:%d", trellistest.FreePort(t))
	peer := fmt.Sprintf("http://127.0.0.1:%d", trellistest.FreePort(t))
	m := &member{endpoint: endpoint, cmd: exec.Command(trellistest.Install(t, "etcd.sh"), append([]string{
		"--data-dir", t.TempDir(), "--log-level", "error", "--listen-client-urls", endpoint, "--advertise-client-urls", endpoint,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
		"--cert-file", a.path(certificate + ".pem"), "--key-file", a.path(certificate + "-key.pem"),
		"--client-cert-auth", "--trusted-ca-file", a.path("ca.pem")}, args...)...)}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.kill)
	return endpoint
}

// administrator returns a client of a secure etcd that answers.
func administrator(t *testing.T, a *testAuthority, endpoint string, user, password string) *clientv3.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	certificate := must(tls.LoadX509KeyPair(a.path("client.pem"), a.path("client-key.pem")))(t)
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{endpoint}, TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{certificate}}, DialTimeout: time.Minute,
		Username: user, Password: password, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// permit creates a user who may read and write only what is below a prefix.
func permit(t *testing.T, c *clientv3.Client, user, password, prefix string) {
	t.Helper()
	must(c.RoleAdd(t.Context(), user))(t)
	must(c.RoleGrantPermission(t.Context(), user, prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite)))(t)
	must(c.UserAdd(t.Context(), user, password))(t)
	must(c.UserGrantRole(t.Context(), user, user))(t)
}

func TestTwoInstallationsShareAnEtcdAndDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	a := newTestAuthority(t)
	a.issue(t, "server", time.Hour)
	a.issue(t, "client", time.Hour)
	// Tokens expire soon, as they do for a node that runs for long. On a busy machine, bcrypt at its usual cost takes longer than that.
	endpoint := startSecureEtcd(t, a, "server", "--auth-token-ttl", "3", "--bcrypt-cost", "4")
	root := administrator(t, a, endpoint, "", "")
	must(root.Get(t.Context(), "/"))(t) // It answers.
	permit(t, root, "anna", "secret-a", "/networks/a/")
	permit(t, root, "bert", "secret-b", "/networks/b/")
	must(root.UserAdd(t.Context(), "root", "secret-root"))(t)
	must(root.UserGrantRole(t.Context(), "root", "root"))(t)
	must(root.AuthEnable(t.Context()))(t)

	program := trellistest.Build(t)
	type installation struct {
		args   []string
		dir    string
		client *vpclattice.Client
	}
	installations := map[string]*installation{}
	for name, user := range map[string]string{"a": "anna", "b": "bert"} {
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte("secret-"+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		i := &installation{dir: t.TempDir()}
		i.args = []string{"--etcd-endpoints", endpoint, "--etcd-ca", a.path("ca.pem"), "--etcd-cert", a.path("client.pem"), "--etcd-key", a.path("client-key.pem"),
			"--etcd-user", user, "--etcd-password-file", password, "--etcd-prefix", "/networks/" + name, "--data-dir", i.dir}
		p := trellistest.Start(t, program, "serve", i.args...)
		i.client = client(t, p.API, filepath.Join(i.dir, "credentials"))
		installations[name] = i
	}
	// For longer than a token lives.
	for number, began := 0, time.Now(); time.Since(began) < 7*time.Second; number++ {
		for name, i := range installations {
			if err := createGroup(t, i.client, fmt.Sprintf("%s-%d", name, number)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(300 * time.Millisecond) // Sleeps: a client's pace.
	}
	for name, i := range installations {
		if err := createGroup(t, i.client, "same-name"); err != nil {
			t.Error(err)
		}
		groups := must(i.client.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t)
		if len(groups.Items) < 2 {
			t.Errorf("%s has %d target groups", name, len(groups.Items))
		}
		for _, group := range groups.Items {
			if *group.Name != "same-name" && !strings.HasPrefix(*group.Name, name+"-") {
				t.Errorf("%s sees %s", name, *group.Name)
			}
		}
	}
	// Another node of an installation follows it.
	other := trellistest.Start(t, program, "serve", append(installations["a"].args, "--credentials", filepath.Join(installations["a"].dir, "credentials"))...)
	awaitGroups := func(want int) {
		t.Helper()
		c := client(t, other.API, filepath.Join(installations["a"].dir, "credentials"))
		trellistest.Await(t, func() bool {
			return len(must(c.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t).Items) == want
		}, "the other node has %d target groups", want)
	}
	have := len(must(installations["a"].client.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{}))(t).Items)
	awaitGroups(have)
	time.Sleep(4 * time.Second) // Sleeps: etcd's clock is its own. The watch outlives its token.
	if err := createGroup(t, installations["a"].client, "last"); err != nil {
		t.Error(err)
	}
	awaitGroups(have + 1)

	all := must(administrator(t, a, endpoint, "root", "secret-root").Get(t.Context(), "", clientv3.WithPrefix(), clientv3.WithKeysOnly()))(t)
	for _, kv := range all.Kvs {
		if key := string(kv.Key); !strings.HasPrefix(key, "/networks/a/trellis/v1/") && !strings.HasPrefix(key, "/networks/b/trellis/v1/") {
			t.Errorf("there is the key %s", key)
		}
	}
}

func TestAnEtcdThatCannotBeUsedIsReportedSoon(t *testing.T) {
	t.Parallel()
	a, stranger := newTestAuthority(t), newTestAuthority(t)
	a.issue(t, "server", time.Hour)
	a.issue(t, "expired", -time.Minute)
	a.issue(t, "client", time.Hour)
	stranger.issue(t, "client", time.Hour)
	endpoint := startSecureEtcd(t, a, "server")
	expired := startSecureEtcd(t, a, "expired", "--name", "default")
	root := administrator(t, a, endpoint, "", "")
	must(root.Get(t.Context(), "/"))(t)
	permit(t, root, "anna", "secret-a", "/networks/a/")
	must(root.UserAdd(t.Context(), "root", "secret-root"))(t)
	must(root.UserGrantRole(t.Context(), "root", "root"))(t)
	must(root.AuthEnable(t.Context()))(t)
	password, wrong := filepath.Join(t.TempDir(), "password"), filepath.Join(t.TempDir(), "wrong")
	for path, text := range map[string]string{password: "secret-a", wrong: "secret-x"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trellistest.Await(t, func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(expired, "https://"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, "etcd listens on %s", expired)

	program := trellistest.BuildFast(t)
	certified := []string{"--etcd-ca", a.path("ca.pem"), "--etcd-cert", a.path("client.pem"), "--etcd-key", a.path("client-key.pem")}
	anna := []string{"--etcd-user", "anna", "--etcd-password-file", password}
	for name, c := range map[string]struct {
		endpoint string
		args     [][]string
		want     []string
	}{
		"etcd's certificate has expired":      {expired, [][]string{certified, anna}, []string{"--etcd-ca", expired, "has expired"}},
		"another authority":                   {endpoint, [][]string{{"--etcd-ca", stranger.path("ca.pem")}}, []string{"--etcd-ca", "unknown authority"}},
		"no certificate":                      {endpoint, [][]string{certified[:2]}, []string{"--etcd-cert", "etcd does not accept our certificate"}},
		"a stranger's certificate":            {endpoint, [][]string{certified[:2], {"--etcd-cert", stranger.path("client.pem"), "--etcd-key", stranger.path("client-key.pem")}}, []string{"--etcd-cert", "etcd does not accept our certificate"}},
		"our certificate has expired":         {endpoint, [][]string{certified[:2], {"--etcd-cert", a.path("expired.pem"), "--etcd-key", a.path("expired-key.pem")}}, []string{"--etcd-cert", "has expired"}},
		"the key of another certificate":      {endpoint, [][]string{certified[:2], {"--etcd-cert", a.path("client.pem"), "--etcd-key", a.path("server-key.pem")}}, []string{"--etcd-cert, --etcd-key"}},
		"a wrong password":                    {endpoint, [][]string{certified, {"--etcd-user", "anna", "--etcd-password-file", wrong, "--etcd-prefix", "/networks/a"}}, []string{"--etcd-user, --etcd-password-file", "invalid user ID or password"}},
		"no user":                             {endpoint, [][]string{certified}, []string{"--etcd-user", "permission denied"}},
		"a prefix that the user may not read": {endpoint, [][]string{certified, anna, {"--etcd-prefix", "/networks/b"}}, []string{"--etcd-prefix", "/networks/b/trellis/v1/", "permission denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"serve", "--data-dir", t.TempDir(), "--etcd-endpoints", c.endpoint}
			for _, some := range c.args {
				args = append(args, some...)
			}
			began := time.Now()
			out := failsToStart(t, program, args...)
			t.Logf("after %s", time.Since(began))
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("the program does not say %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, "secret-") {
				t.Errorf("the program tells a password:\n%s", out)
			}
		})
	}
}
