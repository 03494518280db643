package stories_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// trellis runs a command and returns what it prints and its exit code.
func trellis(t *testing.T, program string, environment []string, args ...string) (out, errOut string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &stdout, &stderr, append(os.Environ(), environment...)
	_ = cmd.Run() // The exit code tells.
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// want runs a command that must end with an exit code and print a text.
func want(t *testing.T, program string, environment []string, code int, text string, args ...string) string {
	t.Helper()
	out, errOut, got := trellis(t, program, environment, args...)
	if got != code || !strings.Contains(out+errOut, text) {
		t.Fatalf("trellis %s ends with %d, want %d, and prints, without %q:\n%s%s", strings.Join(args, " "), got, code, text, out, errOut)
	}
	return out
}

func TestANetworkIsExportedChangedAndImportedIntoAnotherNode(t *testing.T) {
	t.Parallel()
	program := trellistest.Build(t)
	folder := t.TempDir()
	ready := filepath.Join(folder, "ready.json")
	first := trellistest.Start(t, program, "dev", "--demo", "--port-map", "80=0,443=0,0=0", "--dns-addr", "127.0.0.1:0", "--ready-file", ready)
	var line []byte
	trellistest.Await(t, func() (ok bool) { line, _ = os.ReadFile(ready); return line != nil }, "the ready file is there")
	var addresses struct{ API, Admin, DNS, CAFile string }
	if err := json.Unmarshal(line, &addresses); err != nil || addresses.API != first.API || addresses.Admin != first.Admin || addresses.DNS == "" || bytes.Count(line, []byte("\n")) != 1 {
		t.Fatalf("the ready file is not a line with all addresses: %s", line)
	}
	here := []string{"TRELLIS_ADMIN=" + first.Admin}
	trellistest.Await(t, func() bool {
		out, _, _ := trellis(t, program, here, "status")
		return strings.Contains(out, "HEALTHY: 3")
	}, "the targets are healthy")
	want(t, program, here, 0, "port 443", "status")
	network := want(t, program, here, 0, "trellis: 1", "export")
	host := network[strings.Index(network, "domainName: ")+len("domainName: "):]
	host = host[:strings.IndexByte(host, '\n')]
	want(t, program, here, 0, "priority 20, matches", "explain", "http://"+host+"/", "-H", "x-version: green")
	want(t, program, here, 1, "no service has this host name", "explain", "http://nobody.example/")

	file := filepath.Join(folder, "network.yaml")
	if err := os.WriteFile(file, []byte(network), 0o600); err != nil {
		t.Fatal(err)
	}
	second := trellistest.Start(t, program, "dev", "--load", file, "--port-map", "80=0,443=0", "--dns-addr", "none")
	there := []string{"TRELLIS_ADMIN=" + second.Admin}
	if again := want(t, program, there, 0, "trellis: 1", "export"); again != network {
		t.Errorf("what was loaded is exported as\n%s\nand not as\n%s", again, network)
	}
	want(t, program, there, 0, "15 records of account 111122223333 in eu-west-1 are stored", "import", file, "--account", "111122223333", "--region", "eu-west-1")
	response, err := http.Post(second.Admin+"/reset?account=111122223333", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); !strings.Contains(string(text), `"deleted": 15`) {
		t.Errorf("the reset is answered %s %s", response.Status, text)
	}
	want(t, program, there, 0, "trellis: 1\naccount: \"111122223333\"\nregion: eu-west-1\n", "export", "--account", "111122223333", "--region", "eu-west-1")
	want(t, program, there, 1, `there is no section "srvices"`, "import", writeFile(t, "trellis: 1\naccount: '000000000000'\nregion: us-west-2\nsrvices: []\n"))
	want(t, program, []string{"TRELLIS_ADMIN=http://127.0.0.1:1"}, 1, "no node answers at http://127.0.0.1:1", "status")
	want(t, program, []string{"TRELLIS_ADMIN=nonsense"}, 2, "must be the URL of a node's admin port", "export")
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestAStoreIsBackedUpByItsOperatorAloneAndRestored(t *testing.T) {
	t.Parallel()
	program := trellistest.Build(t)
	first, second, folder := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second"), t.TempDir()
	node := trellistest.Start(t, program, "serve", "--data-dir", first)
	nobody := []string{"TRELLIS_ADMIN=" + node.Admin, "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(folder, "none"), "AWS_ACCESS_KEY_ID=", "AWS_PROFILE=", "AWS_CONFIG_FILE=" + filepath.Join(folder, "none")}
	operator := append(append([]string(nil), nobody...), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(first, "credentials"))

	network := writeFile(t, `trellis: 1
account: "000000000000"
region: us-west-2
services: [{id: svc-00000000000000001, name: shop}]
`)
	want(t, program, nobody, 1, "there are no credentials", "import", network)
	want(t, program, operator, 0, "1 records of account 000000000000 in us-west-2 are stored", "import", network)
	want(t, program, operator, 1, "The access key is of account 000000000000", "export", "--account", "111122223333")
	want(t, program, operator, 0, "name: shop", "export")
	file := filepath.Join(folder, "backup")
	want(t, program, nobody, 1, "there are no credentials", "backup", file)
	want(t, program, operator, 0, "bytes", "backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is not its owner's alone: %v %v", info, err)
	}
	audit, err := os.ReadFile(filepath.Join(first, "audit.log"))
	if err != nil || !strings.Contains(string(audit), `"operation":"ImportNetwork"`) {
		t.Errorf("the audit log has no import: %v\n%s", err, audit)
	}
	response, err := http.Post(node.Admin+"/reset", "", nil)
	if err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("serve can be reset: %v %v", response, err)
	}

	want(t, program, nil, 1, "is in use by another process", "restore", file, "--data-dir", first)
	want(t, program, nil, 0, "1 records are restored", "restore", file, "--data-dir", second)
	want(t, program, nil, 1, "the store holds 1 records", "restore", file, "--data-dir", second)
	restored := trellistest.Start(t, program, "serve", "--data-dir", second)
	there := append(append([]string(nil), nobody...), "TRELLIS_ADMIN="+restored.Admin, "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(second, "credentials"))
	want(t, program, there, 0, "id: svc-00000000000000001", "export")
}
