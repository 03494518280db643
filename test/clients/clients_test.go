package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The limits only keep a hanging program from hanging the tests.
const (
	startLimit   = time.Minute
	stopLimit    = time.Minute
	programLimit = 4 * time.Minute
)

// TestRealClients runs clients as their users do, against the built program with the race detector on.
func TestRealClients(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	install(t, filepath.Join(root, "scripts/venv.sh"))
	install(t, filepath.Join(root, "scripts/node_modules.sh"))
	python := filepath.Join(root, ".venv/bin/python")
	trellis := build(t, root)

	t.Run("Boto3BuildsANetworkThatCarriesTraffic", func(t *testing.T) {
		t.Parallel()
		data := freeAddress(t)
		_, dataPort, _ := net.SplitHostPort(data)
		// A minute of draining, as at AWS, would only make the test longer.
		api := startDev(t, trellis, "--port-map", "80="+dataPort, "--deregistration-delay", "6s")
		run(t, []string{"TRELLIS_API=" + api, "TRELLIS_DATA=" + data}, python, "boto3/backbone.py")
	})
	t.Run("Boto3MeetsEveryRefusalAsItsOwnException", func(t *testing.T) {
		t.Parallel()
		api := startDev(t, trellis, "--quotas", "targetGroupsPerRegion=30", "--deregistration-delay", "0s")
		run(t, []string{"TRELLIS_API=" + api, "TRELLIS_TARGET_GROUPS=30"}, python, "boto3/refusals.py")
	})
	t.Run("JavaScriptManagesATargetGroup", func(t *testing.T) {
		t.Parallel()
		run(t, []string{"TRELLIS_API=" + startDev(t, trellis)}, "node", "javascript/target_group.mjs")
	})
	t.Run("AWSCommandLineManagesATargetGroup", func(t *testing.T) {
		t.Parallel()
		api := startDev(t, trellis)
		manageTargetGroup(t, awsCommandLine{t, filepath.Join(filepath.Dir(python), "aws"), api})
	})
}

// install runs a script that installs clients where they are missing.
func install(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command(script).CombinedOutput(); err != nil {
		t.Fatalf("%s (make test says what is missing): %v\n%s", filepath.Base(script), err, out)
	}
}

func build(t *testing.T, root string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "trellis")
	// Without the version control's stamp the build works in an unpacked archive too.
	cmd := exec.Command("go", "build", "-race", "-buildvcs=false", "-o", program, "./cmd/trellis")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building trellis: %v\n%s", err, out)
	}
	return program
}

// startDev starts `trellis dev` and returns the API's URL. When the test is over, the program is asked to stop, and
// must do so without having found a data race.
func startDev(t *testing.T, program string, args ...string) (api string) {
	t.Helper()
	// The test's context ends before its clean-up runs.
	cmd := exec.CommandContext(t.Context(), program, append([]string{"dev", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopLimit
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	apiURL := make(chan string, 1)
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if fields := strings.Fields(lines.Text()); len(fields) == 2 && fields[0] == "API" {
				apiURL <- fields[1]
			}
		}
		cmd.Wait() // The exit code tells more than the error, which is there whenever the context has ended.
	}()
	t.Cleanup(func() {
		<-exited
		// Asked to stop, it ends with 0; a data race ends it with 66.
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("trellis ended with %s", cmd.ProcessState)
		}
		if t.Failed() {
			t.Logf("trellis logged:\n%s", &log)
		}
	})
	select {
	case api := <-apiURL:
		return api
	case <-exited:
		t.Fatal("trellis did not start")
	case <-time.After(startLimit):
		t.Fatal("trellis did not say where its API is")
	}
	return ""
}

// freeAddress returns an address on which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run runs a program to its end, which must be a good one, and returns what it wrote to standard output.
func run(t *testing.T, env []string, program string, args ...string) []byte {
	t.Helper()
	stdout, stderr, err := tryRun(t.Context(), env, program, args...)
	t.Logf("%s\n%s", stdout, stderr)
	if err != nil {
		t.Fatalf("%s %s: %v", filepath.Base(program), strings.Join(args, " "), err)
	}
	return stdout
}

func tryRun(ctx context.Context, env []string, program string, args ...string) (stdout, stderr []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, programLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// Whatever the user has configured for AWS must not reach the clients.
	cmd.Env = append(os.Environ(), append(env,
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1",
	)...)
	var out, message bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &message
	// Children that outlive a killed program must not keep the test waiting for their output.
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	return out.Bytes(), message.Bytes(), err
}

// awsCommandLine is the AWS CLI, directed to an API.
type awsCommandLine struct {
	t       *testing.T
	program string
	api     string
}

func (c awsCommandLine) args(args []string) (env, all []string) {
	env = []string{"AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_DEFAULT_REGION=us-west-2", "AWS_DEFAULT_OUTPUT=json"}
	return env, append([]string{"--endpoint-url", c.api, "vpc-lattice"}, args...)
}

// run runs an operation that must succeed, and decodes its answer.
func (c awsCommandLine) run(answer any, args ...string) {
	c.t.Helper()
	env, all := c.args(args)
	out := run(c.t, env, c.program, all...)
	if err := json.Unmarshal(out, answer); err != nil {
		c.t.Fatalf("aws %s: %v in %s", args[0], err, out)
	}
}

// refuse runs an operation that must be refused, and returns the error that the user sees.
func (c awsCommandLine) refuse(args ...string) string {
	c.t.Helper()
	env, all := c.args(args)
	_, message, err := tryRun(c.t.Context(), env, c.program, all...)
	if exit := new(exec.ExitError); !errors.As(err, &exit) {
		c.t.Fatalf("aws %s was not refused: %v", args[0], err)
	}
	return string(message)
}

func manageTargetGroup(t *testing.T, cli awsCommandLine) {
	type group struct {
		ARN    string `json:"arn"`
		Name   string `json:"name"`
		Status string `json:"status"`
		Config struct {
			HealthCheck struct {
				Path string `json:"path"`
			} `json:"healthCheck"`
		} `json:"config"`
	}
	var created, got, updated, deleted group
	cli.run(&created, "create-target-group", "--name", "from-the-shell", "--type", "IP", "--tags", "team=shop",
		"--config", "port=80,protocol=HTTP,vpcIdentifier=vpc-0123456789abcdef0")

	var list struct {
		Items []group `json:"items"`
	}
	cli.run(&list, "list-target-groups")
	if len(list.Items) != 1 || list.Items[0].ARN != created.ARN {
		t.Errorf("list-target-groups finds %v, not the group %s", list.Items, created.ARN)
	}

	// An ARN in the path has an encoded slash.
	cli.run(&got, "get-target-group", "--target-group-identifier", created.ARN)
	if got.Name != "from-the-shell" || got.Status != "ACTIVE" || got.Config.HealthCheck.Path != "/" {
		t.Errorf("get-target-group: %+v", got)
	}
	cli.run(&updated, "update-target-group", "--target-group-identifier", created.ARN, "--health-check", "path=/health")
	if updated.Config.HealthCheck.Path != "/health" {
		t.Errorf("update-target-group: %+v", updated)
	}
	cli.run(&deleted, "delete-target-group", "--target-group-identifier", created.ARN)
	if deleted.Status != "DELETE_IN_PROGRESS" {
		t.Errorf("delete-target-group: %+v", deleted)
	}
	message := cli.refuse("get-target-group", "--target-group-identifier", created.ARN)
	if want := "An error occurred (ResourceNotFoundException)"; !strings.Contains(message, want) {
		t.Errorf("get-target-group of a deleted group says %q, without %q", message, want)
	}
}
