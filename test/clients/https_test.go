package clients_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/test/trellistest"
)

// https gives each client the authority's certificate as its users would, and the API's address with https: on the same port.
// One kind of resource goes through its life.
func (e environment) https(t *testing.T) {
	t.Parallel()
	trellistest.Install(t, "debian_packages.sh", "openssl", "openssl")
	authority := t.TempDir()
	p := trellistest.Start(t, e.trellis, "dev", "--ca-dir", authority, "--quotas", declaredQuotas(t))
	ca := filepath.Join(authority, "ca.pem")
	secure := &trellistest.Process{API: strings.Replace(p.API, "http://", "https://", 1)}
	const kind = "ServiceNetwork"

	// The clients have the server until the last of them is done.
	t.Run("clients", func(t *testing.T) {
		t.Run("Boto3", func(t *testing.T) {
			t.Parallel()
			run(t, append(asAccount(secure, "111111111111"), "AWS_CA_BUNDLE="+ca), e.python(), "python/kinds.py", "sdk", kind)
		})
		t.Run("AWSCommandLine", func(t *testing.T) {
			t.Parallel()
			run(t, append(asAccount(secure, "222222222222"), "AWS_CA_BUNDLE="+ca), e.python(), "python/kinds.py", "commandline", kind)
		})
		t.Run("SDKForJavaScript", func(t *testing.T) {
			t.Parallel()
			run(t, append(asAccount(secure, "333333333333"), "NODE_EXTRA_CA_CERTS="+ca), "node", "javascript/kinds.mjs", kind)
		})
		t.Run("SDKForGo", func(t *testing.T) {
			t.Parallel()
			bundle, err := os.Open(ca)
			if err != nil {
				t.Fatal(err)
			}
			defer bundle.Close()
			c := newClient(t, secure, config.WithCustomCABundle(bundle),
				config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("444444444444", "any", "")))
			if _, err := c.ListServices(t.Context(), &vpclattice.ListServicesInput{}); err != nil {
				t.Error(err)
			}
			untrusting := devClient(t, secure, "444444444444")
			if _, err := untrusting.ListServices(t.Context(), &vpclattice.ListServicesInput{}); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("a client that does not trust the authority: %v", err)
			}
		})
		// What clients made with OpenSSL get to see, by a name and by the address.
		t.Run("OpenSSL", func(t *testing.T) {
			t.Parallel()
			for _, args := range [][]string{
				{"-verify_hostname", "localhost", "-servername", "localhost"},
				{"-verify_ip", "127.0.0.1", "-noservername"},
				{"-verify_hostname", "localhost", "-servername", "localhost", "-tls1_2"},
			} {
				args = append([]string{"s_client", "-brief", "-connect", strings.TrimPrefix(secure.API, "https://"),
					"-CAfile", ca, "-verify_return_error", "-alpn", "h2,http/1.1"}, args...)
				run(t, nil, "openssl", args...)
			}
			_, message, err := tryRun(t.Context(), nil, "openssl", "s_client", "-brief", "-connect", strings.TrimPrefix(secure.API, "https://"),
				"-CAfile", ca, "-servername", "example.com")
			if err == nil || !strings.Contains(string(message), "unrecognized name") {
				t.Errorf("for a name that is not the node's: %v\n%s", err, message)
			}
		})
	})
}
