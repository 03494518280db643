package configuration

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCommandsHaveTheirDefaults(t *testing.T) {
	dev, err := Parse([]string{"dev"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	c := dev.Configuration
	if !c.Dev || c.Demo || c.APIAddr != "127.0.0.1:7600" || c.PortMap[80] != 8080 || c.PortMap[443] != 8443 || c.DeregistrationDelay != time.Minute || c.ConnectionDuration != 10*time.Minute || c.DataDir != "" ||
		c.AuditLog != "none" || c.APIRate != 0 || c.APIConcurrency != 256 || c.Chaos != (Chaos{}) {
		t.Errorf("dev has other defaults than the documented ones: %+v", c)
	}
	serve, err := Parse([]string{"serve", "--data-dir", "d"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if c := serve.Configuration; c.Dev || len(c.PortMap) != 0 || c.DataDir != "d" || c.Credentials != filepath.Join("d", "credentials") ||
		c.AuditLog != filepath.Join("d", "audit.log") || c.CADir != "d" || c.APIRate != 10000 {
		t.Errorf("serve has other defaults than the documented ones: %+v", c)
	}
}

func TestFlagsOverrideTheEnvironmentWhichOverridesTheFile(t *testing.T) {
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
		len(c.Etcd.Endpoints) != 2 || c.Quotas["targetGroupsPerRegion"] != 7 {
		t.Errorf("the precedence of flags, environment and file is not kept: %+v", c)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trellis.yaml")
	if err := os.WriteFile(path, []byte("colour: red\nlifecycle-delay: soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRELLIS_DRAIN_TIMEOUT", "2h")
	_, err := Parse([]string{"dev", "--config", path, "--account", "12", "--api-addr", "here", "--port-map", "80=x", "--connection-duration", "5ms", "--otlp-endpoint", "collector:4318", "--trace-ratio", "2", "--quotas", "apples=1", "--log-level", "loud",
		"--chaos-throttle", "0.6", "--chaos-error", "0.5", "--chaos-create-failed", "2", "--chaos-seed", "x", "--chaos-latency", "1h", "--api-rate=-1", "--api-concurrency=-2", "--max-connections=-3", "--max-connections-per-source=-4", "--audit-log="}, &bytes.Buffer{})
	if !errors.As(err, new(*UsageError)) {
		t.Fatalf("Parse says %v, want a UsageError", err)
	}
	for _, want := range []string{
		`unknown key "colour"`, "--lifecycle-delay soon", "--drain-timeout 2h", "--account 12", "--api-addr here", "--port-map 80=x", "--connection-duration 5ms", "--otlp-endpoint collector:4318", "--trace-ratio 2", `quota "apples"`, "--log-level loud",
		"--chaos-throttle 0.6", "--chaos-create-failed 2", "--chaos-seed x", "--chaos-latency 1h", "--api-rate -1", "--api-concurrency -2", "--max-connections -3", "--max-connections-per-source -4", `--audit-log "":`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not tell of %s:\n%v", want, err)
		}
	}
}

func TestPortsAreMappedToDistinctPorts(t *testing.T) {
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

func TestHelpIsNotAnError(t *testing.T) {
	var out bytes.Buffer
	if _, err := Parse([]string{"dev", "--help"}, &out); !errors.Is(err, ErrHelp) || !strings.Contains(out.String(), "--api-addr") {
		t.Errorf("Parse says %v and prints %q", err, out.String())
	}
}

func TestHelpIsACommandToo(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"help"}, "Commands:"},
		{[]string{"help", "serve"}, "--data-dir"},
		{[]string{"help", "help"}, "help [<command>"},
		{[]string{"help", "policy"}, "policy test"},
		{[]string{"help", "policy", "lint"}, "<paths>"},
		{[]string{"help", "export"}, "--account"},
		{[]string{"policy", "test", "--help"}, "--network-policy"},
	} {
		var out bytes.Buffer
		if _, err := Parse(tc.args, &out); !errors.Is(err, ErrHelp) || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%q: Parse returns %v and prints\n%s\nwithout %q", tc.args, err, out.String(), tc.want)
		}
	}
	_, err := Parse([]string{"help", "server"}, &bytes.Buffer{})
	if !errors.As(err, new(*UsageError)) || !strings.Contains(err.Error(), `no command "server"; the commands are dev, serve, status, explain, export, import, backup, trust, restore, policy, logs, dns, version, help`) {
		t.Errorf("help for an unknown command: %v", err)
	}
}

func TestHelpFitsAScreen(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	var out bytes.Buffer
	if _, err := Parse([]string{"help"}, &out); !errors.Is(err, ErrHelp) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) > 23 { // A terminal has 24, and the prompt takes one.
		t.Errorf("the help has %d lines:\n%s", len(lines), out.String())
	}
	for _, line := range lines {
		if len(line) > 80 {
			t.Errorf("the line has %d characters: %s", len(line), line)
		}
	}
}

func TestVersionIsAlsoAFlag(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"version"}, {"serve", "--version"}} {
		if command, err := Parse(args, &bytes.Buffer{}); err != nil || command.Name != "version" {
			t.Errorf("%q: Parse returns %q, %v", args, command.Name, err)
		}
	}
}

// The help shows values as they can be typed.
func TestHelpShowsMapsAsTheyAreWritten(t *testing.T) {
	for _, command := range []string{"dev", "serve"} {
		var out bytes.Buffer
		if _, err := Parse([]string{command, "--help"}, &out); !errors.Is(err, ErrHelp) {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), ";...") || !strings.Contains(out.String(), "--quotas=QUOTA=N,...") {
			t.Errorf("%s:\n%s", command, out.String())
		}
	}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trellis.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProblemsOfTheFileNameFlagFileLineAndKey(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	if _, err := Parse([]string{"dev", "--config", missing}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "--config "+missing+": no such file or directory") {
		t.Errorf("a missing file: %v", err)
	}
	for _, tc := range []struct{ text, want string }{
		{"# comment\nregion: eu-west-1\napi-adr: 127.0.0.1:1\n", `--config FILE, line 3: unknown key "api-adr"; did you mean api-addr?`},
		{"apiAddr: 127.0.0.1:1\n", `--config FILE, line 1: unknown key "apiAddr"; did you mean api-addr?`},
		{"\ncompletely-different: 1\n", `--config FILE, line 2: unknown key "completely-different"; the keys are the names of the flags, which trellis help serve lists`},
		{"region: a\n\nlifecycle-delay: soon\n", "--lifecycle-delay soon (line 3 of FILE): must be a duration such as 2s"},
		{"account:\n  12\n", "--account 12 (line 1 of FILE): must be 12 digits"},
		{"port-map:\n  80: 99999\n", "--port-map 80=99999 (line 1 of FILE): ports must be between"},
		{"quotas:\n  apples: 1\n", `--quotas (line 1 of FILE): quota "apples" does not exist`},
		{"region: a\nregion: b\n", `--config FILE, line 2: key "region" appears twice`},
		{"region: [a\n", "--config FILE: yaml: line 1: "},
		{"- region\n", "--config FILE, line 1: must be keys and values, as in region: us-west-2"},
		{"region: a\n---\nregion: b\n", "--config FILE: there is a second YAML document, which would not be read"},
		{"config: x\n", `--config FILE, line 1: unknown key "config"`},
	} {
		path := writeFile(t, tc.text)
		_, err := Parse([]string{"dev", "--config", path}, &bytes.Buffer{})
		if want := strings.ReplaceAll(tc.want, "FILE", path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", tc.text, err, want)
		}
	}
}

func TestTheFileCanBeNamedByTheEnvironment(t *testing.T) {
	t.Setenv("TRELLIS_CONFIG", writeFile(t, "account: 000011112222\ninventory:\nregion: eu-west-1\n"))
	command, err := Parse([]string{"dev", "--region", "eu-west-3"}, &bytes.Buffer{})
	if c := command.Configuration; err != nil || c.Account != "000011112222" || c.Inventory != "" || c.Region != "eu-west-3" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestProblemsOfTheEnvironmentNameTheVariable(t *testing.T) {
	t.Setenv("TRELLIS_ACCOUNT", "12")
	t.Setenv("TRELLIS_DRAIN_TIMEOUT", "soon")
	_, err := Parse([]string{"dev"}, &bytes.Buffer{})
	for _, want := range []string{"--account 12 (TRELLIS_ACCOUNT): must be 12 digits", "--drain-timeout soon (TRELLIS_DRAIN_TIMEOUT): must be a duration"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestUnknownVariablesAreWarnedAbout(t *testing.T) {
	t.Setenv("TRELLIS_API_ADR", "127.0.0.1:1")
	t.Setenv("TRELLIS_WHATEVER_ELSE", "1")
	t.Setenv("TRELLIS_CHAOS_ERROR", "0.5") // A setting of dev.
	// A Service of Kubernetes named trellis.
	t.Setenv("TRELLIS_SERVICE_HOST", "10.0.0.1")
	t.Setenv("TRELLIS_SERVICE_PORT_API", "7600")
	t.Setenv("TRELLIS_PORT", "tcp://10.0.0.1:7600")
	t.Setenv("TRELLIS_PORT_7600_TCP_ADDR", "10.0.0.1")
	command, err := Parse([]string{"serve"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"environment variable TRELLIS_API_ADR has no meaning; did you mean TRELLIS_API_ADDR?",
		"environment variable TRELLIS_WHATEVER_ELSE has no meaning; the variables are TRELLIS_ and the names of the flags, as in TRELLIS_API_ADDR",
	}
	if !slices.Equal(command.Warnings, want) {
		t.Errorf("the warnings are %q, want %q", command.Warnings, want)
	}
}

func TestAnyFreePortCanBeBound(t *testing.T) {
	command, err := Parse([]string{"dev", "--port-map", "80=0,443=0"}, &bytes.Buffer{})
	if port, ok := command.Configuration.PortMap[80]; err != nil || !ok || port != 0 {
		t.Errorf("80 is mapped to %d (%t), %v; want 0", port, ok, err)
	}
}

func TestServeAcceptsOnlyItsOwnRegionByDefault(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"serve"}, []string{"us-west-2"}},
		{[]string{"serve", "--region", "eu-west-1"}, []string{"eu-west-1"}},
		{[]string{"serve", "--regions", "eu-west-1,us-gov-east-1"}, []string{"eu-west-1", "us-gov-east-1"}},
		{[]string{"dev"}, nil},
	} {
		command, err := Parse(tc.args, &bytes.Buffer{})
		if err != nil {
			t.Fatal(err)
		}
		if got := command.Configuration.Regions; !slices.Equal(got, tc.want) {
			t.Errorf("%v: %v, want %v", tc.args, got, tc.want)
		}
	}
	for _, args := range [][]string{{"serve", "--regions", "us-west-2,local"}, {"serve", "--region", "us;west"}, {"dev", "--region", "local"}} {
		if _, err := Parse(args, &bytes.Buffer{}); !errors.As(err, new(*UsageError)) || strings.Count(err.Error(), "--region") != 1 {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestDevListensBeyondTheLoopbackOnlyIfAllowed(t *testing.T) {
	for _, tc := range []struct {
		args    []string
		refused string
	}{
		{[]string{"dev", "--api-addr", "localhost:0", "--admin-addr", "[::1]:0", "--data-addr", "127.0.0.2"}, ""},
		{[]string{"dev", "--api-addr", "0.0.0.0:7600"}, "--api-addr 0.0.0.0:7600"},
		{[]string{"dev", "--api-addr", ":7600"}, "--api-addr :7600"},
		{[]string{"dev", "--admin-addr", "192.0.2.1:7601"}, "--admin-addr 192.0.2.1:7601"},
		{[]string{"dev", "--data-addr", "::"}, "--data-addr ::"},
		{[]string{"dev", "--data-addr", "::", "--api-addr", ":7600", "--allow-remote"}, ""},
		{[]string{"serve", "--api-addr", "0.0.0.0:7600", "--admin-addr", ":7601", "--data-addr", "::"}, ""},
	} {
		_, err := Parse(tc.args, &bytes.Buffer{})
		switch {
		case tc.refused == "" && err != nil:
			t.Errorf("%v: %v", tc.args, err)
		case tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused) || !strings.Contains(err.Error(), "--allow-remote")):
			t.Errorf("%v: %v, want something with %s", tc.args, err, tc.refused)
		}
	}
}

func TestAllowedHostsAreNames(t *testing.T) {
	command, err := Parse([]string{"dev", "--allowed-hosts", "trellis,my_service.example,.Internal"}, &bytes.Buffer{})
	if err != nil || len(command.Configuration.AllowedHosts) != 3 {
		t.Errorf("%v %v", command.Configuration.AllowedHosts, err)
	}
	for _, host := range []string{"trellis:7600", "http://trellis", "*.internal", ".", "a..b", "a b"} {
		if _, err := Parse([]string{"serve", "--allowed-hosts", host}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "--allowed-hosts "+host) {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestFunctionsAreDeclaredOnTheCommandLineInVariablesAndInTheFile(t *testing.T) {
	want := []Function{{"orders", "python3 -m awslambdaric app.handler"}, {"carts", "./carts a,b"}}
	command, err := Parse([]string{"dev", "--function", "orders=python3 -m awslambdaric app.handler", "--function=carts=./carts a,b"}, io.Discard)
	if err != nil || !slices.Equal(command.Configuration.Functions, want) {
		t.Errorf("flags: %q, %v", command.Configuration.Functions, err)
	}
	file := filepath.Join(t.TempDir(), "trellis.yaml")
	if err := os.WriteFile(file, []byte("function:\n  orders: python3 -m awslambdaric app.handler\n  carts: ./carts a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command, err = Parse([]string{"dev", "--config", file}, io.Discard)
	if err != nil || !slices.Equal(command.Configuration.Functions, want) {
		t.Errorf("file: %q, %v", command.Configuration.Functions, err)
	}
	t.Setenv("TRELLIS_FUNCTION", "orders=python3 -m awslambdaric app.handler\ncarts=./carts a,b\n")
	command, err = Parse([]string{"dev"}, io.Discard)
	if err != nil || !slices.Equal(command.Configuration.Functions, want) {
		t.Errorf("variable: %q, %v", command.Configuration.Functions, err)
	}
	t.Setenv("TRELLIS_FUNCTION", "a b=./a\norders=./a\norders=./b 'c\norders")
	_, err = Parse([]string{"dev"}, io.Discard)
	for _, want := range []string{`--function a b=./a (TRELLIS_FUNCTION): "arn:aws:lambda:us-west-2:000000000000:function:a b" is not the ARN of a function`,
		"--function orders (TRELLIS_FUNCTION): this name is given to two functions", "has a quotation mark that nothing closes", "must be a name and a command"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %s", err, want)
		}
	}
}
