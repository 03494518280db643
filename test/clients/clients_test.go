package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// noResolver is an address without a DNS server, so that no test looks domains up outside.
const noResolver = "127.0.0.1:9"

// These limits keep a program that hangs from hanging the tests: one for a program that a test runs, one for what a test
// waits for.
const (
	programLimit = 5 * time.Minute
	waitLimit    = 3 * time.Minute
)

// parallel is how many tests run at once: they wait most of the time.
const parallel = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestRealClients runs clients as their users do, against the built program with the race detector on.
func TestRealClients(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	trellistest.Install(t, "venv.sh")
	trellistest.Install(t, "node_modules.sh")
	e := environment{trellis: trellistest.Build(t), bin: filepath.Join(root, ".venv/bin")}

	// The longest ones first.
	t.Run("Boto3BuildsANetworkThatCarriesTraffic", e.boto3Backbone)
	t.Run("Terraform", e.terraform)
	t.Run("GatewayController", e.gatewayController)
	t.Run("EveryKindThrough", e.everyKind)
	t.Run("ClusterPage", e.clusterPage)
	t.Run("SigningPage", e.signingPage)
	t.Run("OthersPage", e.othersPage)
	t.Run("EveryClientDetachesEndpoints", e.endpoints)
	t.Run("Boto3MeetsEveryRefusalAsItsOwnException", e.boto3Refusals)
	t.Run("AWSCommandLineRunsAsAProgram", e.commandLine)
	t.Run("Boto3SendsTheRequestsForAllServices", e.allServices)
	t.Run("EveryClientMeetsThrottlingAndFailure", e.trouble)
	t.Run("EveryClientSpeaksHTTPS", e.https)
}

// environment is what the tests share: the built program, and the folder of Python and the AWS CLI.
type environment struct{ trellis, bin string }

func (e environment) python() string { return filepath.Join(e.bin, "python") }

func (e environment) boto3Backbone(t *testing.T) {
	t.Parallel()
	port := trellistest.FreePort(t)
	// A minute of draining, as at AWS, would only make the test longer.
	p := trellistest.Start(t, e.trellis, "dev", "--port-map", fmt.Sprintf("80=%d", port), "--deregistration-delay", "10s")
	env := append(asAccount(p, "any"), "TRELLIS_DATA="+net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	run(t, env, e.python(), "python/backbone.py")
}

func (e environment) boto3Refusals(t *testing.T) {
	t.Parallel()
	p := trellistest.Start(t, e.trellis, "dev", "--quotas", "targetGroupsPerRegion=30", "--deregistration-delay", "0s")
	run(t, append(asAccount(p, "any"), "TRELLIS_TARGET_GROUPS=30"), e.python(), "python/refusals.py")
}

// allServices sends all calls of boto3 to one server, whatever their service.
func (e environment) allServices(t *testing.T) {
	t.Parallel()
	credentials := filepath.Join(t.TempDir(), "credentials")
	writeFile(t, credentials, `[all]
aws_access_key_id     = AKIDALLALLALLALLALLA
aws_secret_access_key = secret of who may do everything
trellis_account       = 111111111111
trellis_policy        = {"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}

[narrow]
aws_access_key_id     = AKIDNARROWNARROWNARR
aws_secret_access_key = secret of who may not ask for tags
trellis_account       = 111111111111
trellis_policy        = {"Statement":{"Effect":"Allow","Action":"vpc-lattice:*","Resource":"*"}}

[tags]
aws_access_key_id     = AKIDTAGSTAGSTAGSTAGS
aws_secret_access_key = secret of who may ask for resources by tags
trellis_account       = 111111111111
trellis_policy        = {"Statement":{"Effect":"Allow","Action":"tag:GetResources","Resource":"*"}}
`)
	p := trellistest.Start(t, e.trellis, "serve", "--data-dir", t.TempDir(), "--credentials", credentials)
	run(t, []string{"AWS_ENDPOINT_URL=" + p.API, "TRELLIS_API=" + p.API, "AWS_SHARED_CREDENTIALS_FILE=" + credentials, "AWS_PROFILE=all"},
		e.python(), "python/services.py")
}

// everyKind takes every kind of resource through its life with each client. Two of them sign their requests for
// serve, which checks the signatures; the quotas are those that kinds.json wants used up.
func (e environment) everyKind(t *testing.T) {
	t.Parallel()
	credentials := filepath.Join(t.TempDir(), "credentials")
	writeFile(t, credentials, `[python]
aws_access_key_id     = AKIDPYTHONPYTHONPYTH
aws_secret_access_key = secret of the client in Python
trellis_account       = 111111111111
trellis_policy        = {"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}

[go]
aws_access_key_id     = AKIDGOGOGOGOGOGOGOGO
aws_secret_access_key = secret of the client in Go
trellis_account       = 222222222222
trellis_policy        = {"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}
`)
	quotas := declaredQuotas(t)
	serve := trellistest.Start(t, e.trellis, "serve", "--data-dir", t.TempDir(), "--credentials", credentials, "--quotas", quotas, "--dns-resolver", noResolver)
	dev := trellistest.Start(t, e.trellis, "dev", "--quotas", quotas, "--dns-resolver", noResolver)

	// The clients have the servers until the last of them is done.
	t.Run("clients", func(t *testing.T) {
		t.Run("Boto3", func(t *testing.T) {
			t.Parallel()
			env := []string{"TRELLIS_API=" + serve.API, "AWS_SHARED_CREDENTIALS_FILE=" + credentials, "AWS_PROFILE=python"}
			run(t, env, e.python(), "python/kinds.py", "sdk")
		})
		t.Run("SDKForGo", func(t *testing.T) {
			t.Parallel()
			everyKindThroughGo(t, signingClient(t, serve, credentials, "go"))
		})
		t.Run("AWSCommandLine", func(t *testing.T) {
			t.Parallel()
			run(t, asAccount(dev, "333333333333"), e.python(), "python/kinds.py", "commandline")
		})
		t.Run("SDKForJavaScript", func(t *testing.T) {
			t.Parallel()
			run(t, asAccount(dev, "444444444444"), "node", "javascript/kinds.mjs")
		})
	})
}

// trouble gives the clients servers that are full, that fail, and that do both now and then.
func (e environment) trouble(t *testing.T) {
	t.Parallel()
	// The rate lets one call of an account through in 1,000 seconds, the first one.
	throttling := trellistest.Start(t, e.trellis, "dev", "--api-rate", "0.001", "--api-burst", "1")
	failing := trellistest.Start(t, e.trellis, "dev", "--chaos-error", "1")
	unsteady := trellistest.Start(t, e.trellis, "dev", "--chaos-throttle", "0.2", "--chaos-error", "0.4", "--chaos-seed", "7")
	env := func(account string) []string {
		return append(asAccount(unsteady, account),
			"TRELLIS_THROTTLING="+throttling.API, "TRELLIS_FAILING="+failing.API, "TRELLIS_UNSTEADY="+unsteady.API)
	}

	// The clients have the servers until the last of them is done.
	t.Run("clients", func(t *testing.T) {
		t.Run("Boto3", func(t *testing.T) {
			t.Parallel()
			run(t, env("666666666666"), e.python(), "python/trouble.py", "sdk")
		})
		t.Run("AWSCommandLine", func(t *testing.T) {
			t.Parallel()
			run(t, env("999999999999"), e.python(), "python/trouble.py", "commandline")
		})
		t.Run("SDKForJavaScript", func(t *testing.T) {
			t.Parallel()
			run(t, env("777777777777"), "node", "javascript/trouble.mjs")
		})
		t.Run("SDKForGo", func(t *testing.T) {
			t.Parallel()
			troubleThroughGo(t, throttling, failing, unsteady)
		})
	})
}

func troubleThroughGo(t *testing.T, throttling, failing, unsteady *trellistest.Process) {
	throttled := devClient(t, throttling, "888888888888")
	if _, err := throttled.ListServices(t.Context(), &vpclattice.ListServicesInput{}); err != nil {
		t.Fatal(err)
	}
	_, err := throttled.ListServices(t.Context(), &vpclattice.ListServicesInput{})
	if e := refusal[*types.ThrottlingException](t, err, http.StatusTooManyRequests); aws.ToInt32(e.RetryAfterSeconds) < 1 {
		t.Errorf("the client is told to wait for %v s", e.RetryAfterSeconds)
	}
	_, err = devClient(t, failing, "any").ListServices(t.Context(), &vpclattice.ListServicesInput{})
	refusal[*types.InternalServerException](t, err, http.StatusInternalServerError)

	// A client that retries creates one resource, even when the first response was lost.
	c := devClient(t, unsteady, "888888888888")
	withRetries := func(o *vpclattice.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 30, 10*time.Millisecond, ratelimit.None
		})
	}
	var want, got []string
	for n := range 20 {
		name := fmt.Sprintf("network-%d", n)
		if _, err := c.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: &name}, withRetries); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	networks, err := c.ListServiceNetworks(t.Context(), &vpclattice.ListServiceNetworksInput{}, withRetries)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range networks.Items {
		got = append(got, *n.Name)
	}
	if !slices.Equal(want, got) {
		t.Errorf("the service networks are %v, not %v", got, want)
	}
}

// declaredQuotas returns the quotas of kinds.json as the flag takes them.
func declaredQuotas(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("kinds.json")
	if err != nil {
		t.Fatal(err)
	}
	var declared struct {
		Kinds map[string]struct {
			Quota struct {
				Name  string
				Limit int
			}
		}
	}
	if err := json.Unmarshal(b, &declared); err != nil {
		t.Fatal(err)
	}
	quotas := map[string]int{}
	for _, kind := range declared.Kinds {
		if kind.Quota.Name != "" {
			quotas[kind.Quota.Name] = kind.Quota.Limit
		}
	}
	var flag []string
	for _, name := range slices.Sorted(maps.Keys(quotas)) {
		flag = append(flag, fmt.Sprintf("%s=%d", name, quotas[name]))
	}
	return strings.Join(flag, ",")
}

// commandLine runs the AWS CLI as the program that users run; everyKind shows the rest of it.
func (e environment) commandLine(t *testing.T) {
	t.Parallel()
	p := trellistest.Start(t, e.trellis, "dev")
	aws := func(args ...string) (stdout, stderr []byte, err error) {
		args = append([]string{"--endpoint-url", p.API, "--output", "json", "vpc-lattice"}, args...)
		return tryRun(t.Context(), asAccount(p, "any"), filepath.Join(e.bin, "aws"), args...)
	}
	out, message, err := aws("create-target-group", "--name", "from-the-shell", "--type", "IP", "--tags", "team=shop",
		"--config", "port=80,protocol=HTTP,vpcIdentifier=vpc-0123456789abcdef0")
	var group struct{ ARN string }
	if err != nil || json.Unmarshal(out, &group) != nil {
		t.Fatalf("create-target-group: %v %s\n%s", err, message, out)
	}
	// An ARN in the path has an encoded slash.
	out, message, err = aws("get-target-group", "--target-group-identifier", group.ARN, "--query", "[name,status,config.healthCheck.path]", "--output", "text")
	if want := "from-the-shell\tACTIVE\t/\n"; err != nil || string(out) != want {
		t.Errorf("get-target-group: %v %s\n%s", err, message, out)
	}
	_, message, err = aws("get-target-group", "--target-group-identifier", "tg-0123456789abcdef0")
	if want := "An error occurred (ResourceNotFoundException)"; err == nil || !strings.Contains(string(message), want) {
		t.Errorf("get-target-group of no group: %v, and %q without %q", err, message, want)
	}
}

// asAccount is the environment of a client of dev, where an access key id of 12 digits is the account.
func asAccount(p *trellistest.Process, account string) []string {
	return []string{
		"TRELLIS_API=" + p.API, "AWS_ACCESS_KEY_ID=" + account, "AWS_SECRET_ACCESS_KEY=any",
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
}

// run runs a program to its end; it must succeed.
func run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	stdout, stderr, err := tryRun(t.Context(), env, program, args...)
	t.Logf("%s\n%s", stdout, stderr)
	if err != nil {
		t.Fatalf("%s %s: %v", filepath.Base(program), strings.Join(args, " "), err)
	}
}

func tryRun(ctx context.Context, env []string, program string, args ...string) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// The user's own configuration for AWS must not reach the clients.
	cmd.Env = append(os.Environ(), append([]string{
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_DEFAULT_REGION=us-west-2", "AWS_EC2_METADATA_DISABLED=true",
		"PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
		"BOTO_DISABLE_CRT=true", // Most users have not installed it.
	}, env...)...)
	var out, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &message
	// Children that outlive a killed program must not keep the test waiting for their output.
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	return out.Bytes(), message.Bytes(), err
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
