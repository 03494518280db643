package configuration

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDefaultsOfTheCommands(t *testing.T) {
	dev, err := Parse([]string{"dev"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	c := dev.Configuration
	if !c.Dev || c.Demo || c.APIAddr != "127.0.0.1:7600" || c.PortMap[80] != 8080 || c.PortMap[443] != 8443 || c.DeregistrationDelay != time.Minute || c.ConnectionDuration != 10*time.Minute || c.DataDir != "" ||
		c.AuditLog != "none" || c.APIRate != 0 || c.APIConcurrency != 256 || c.Chaos != (Chaos{}) {
		t.Errorf("dev: %+v", c)
	}
	serve, err := Parse([]string{"serve", "--data-dir", "d"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if c := serve.Configuration; c.Dev || len(c.PortMap) != 0 || c.DataDir != "d" || c.Credentials != filepath.Join("d", "credentials") ||
		c.AuditLog != filepath.Join("d", "audit.log") || c.CADir != "d" || c.APIRate != 10000 {
		t.Errorf("serve: %+v", c)
	}
}

func TestFlagsOverrideEnvironmentOverridesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trellis.yaml")
	text := "region: eu-west-1\naccount: \"111122223333\"\napi-addr: 127.0.0.1:1\nport-map:\n  80: 81\netcd-endpoints: [http://a:1, http://b:2]\nquotas:\n  targetGroupsPerRegion: 7\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRELLIS_REGION", "eu-west-2")
	t.Setenv("TRELLIS_API_ADDR", "127.0.0.1:2")
	command, err := Parse([]string{"dev", "--config", path, "--api-addr", "127.0.0.1:3"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	c := command.Configuration
	if c.APIAddr != "127.0.0.1:3" || c.Region != "eu-west-2" || c.Account != "111122223333" || len(c.PortMap) != 1 || c.PortMap[80] != 81 ||
		len(c.EtcdEndpoints) != 2 || c.Quotas["targetGroupsPerRegion"] != 7 {
		t.Errorf("%+v", c)
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trellis.yaml")
	if err := os.WriteFile(path, []byte("colour: red\nlifecycle-delay: soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRELLIS_DRAIN_TIMEOUT", "2h")
	_, err := Parse([]string{"dev", "--config", path, "--account", "12", "--api-addr", "here", "--port-map", "80=x", "--connection-duration", "5ms", "--quotas", "apples=1", "--log-level", "loud",
		"--chaos-throttle", "0.6", "--chaos-error", "0.5", "--chaos-create-failed", "2", "--chaos-seed", "x", "--chaos-latency", "1h", "--api-rate=-1", "--api-concurrency=-2", "--audit-log="}, &bytes.Buffer{})
	if !errors.As(err, new(*UsageError)) {
		t.Fatalf("Parse says %v, want a UsageError", err)
	}
	for _, want := range []string{
		`unknown key "colour"`, "--lifecycle-delay soon", "--drain-timeout 2h", "--account 12", "--api-addr here", "--port-map 80=x", "--connection-duration 5ms", `quota "apples"`, "--log-level loud",
		"--chaos-throttle 0.6", "--chaos-create-failed 2", "--chaos-seed x", "--chaos-latency 1h", "--api-rate -1", "--api-concurrency -2", "--audit-log :",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell of %s:\n%v", want, err)
		}
	}
}

func TestPortsAreMappedToPortsOfTheirOwn(t *testing.T) {
	_, err := Parse([]string{"dev", "--port-map", "80=8080,81=8081,8000=8080"}, &bytes.Buffer{})
	if !errors.As(err, new(*UsageError)) || !strings.Contains(err.Error(), "--port-map 80=8080,8000=8080: two listener ports cannot be bound as the same port") {
		t.Errorf("Parse says %v", err)
	}
}

func TestChaosCanBeSetEverywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trellis.yaml")
	if err := os.WriteFile(path, []byte("chaos-error: 0.5\nchaos-seed: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRELLIS_CHAOS_THROTTLE", "0.25")
	command, err := Parse([]string{"dev", "--config", path, "--chaos-latency", "5ms"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Chaos{Latency: 5 * time.Millisecond, Throttle: 0.25, Error: 0.5, Seed: 7}); command.Configuration.Chaos != want {
		t.Errorf("chaos is %+v, want %+v", command.Configuration.Chaos, want)
	}
}

func TestServeDoesNotKnowChaos(t *testing.T) {
	_, err := Parse([]string{"serve", "--chaos-error", "0.5"}, &bytes.Buffer{})
	if !errors.As(err, new(*UsageError)) || !strings.Contains(err.Error(), "unknown flag --chaos-error") {
		t.Errorf("Parse says %v", err)
	}
}

func TestHelpIsNoError(t *testing.T) {
	var out bytes.Buffer
	if _, err := Parse([]string{"dev", "--help"}, &out); !errors.Is(err, ErrHelp) || !strings.Contains(out.String(), "--api-addr") {
		t.Errorf("Parse says %v and prints %q", err, out.String())
	}
}
