package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestTheActionStartsANode runs the step of action.yml as GitHub's runner does: in bash, with the files that it names.
func TestTheActionStartsANode(t *testing.T) {
	text, err := os.ReadFile("../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var action struct {
		Name, Description string
		Inputs            map[string]struct{ Description, Default string }
		Outputs           map[string]struct{ Description, Value string }
		Runs              struct {
			Using string
			Steps []struct {
				ID, Uses, Shell, Run string
				Env, With            map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict(text, &action); err != nil {
		t.Fatal(err)
	}
	step := action.Runs.Steps[len(action.Runs.Steps)-1]
	if action.Runs.Using != "composite" || step.Shell != "bash" || action.Outputs["api"].Value != "${{ steps."+step.ID+".outputs.api }}" || step.Env["ARGUMENTS"] != "${{ inputs.arguments }}" {
		t.Errorf("the action is %+v", action)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	network := file("network.yaml")
	if err := os.WriteFile(network, []byte("trellis: 1\naccount: '000000000000'\nregion: us-west-2\nservices: [{id: svc-00000000000000001, name: shop}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-e", "-o", "pipefail", "-c", step.Run)
	cmd.Env = append(os.Environ(), "GITHUB_ACTION_PATH="+root, "GITHUB_ENV="+file("env"), "GITHUB_OUTPUT="+file("output"), "GITHUB_PATH="+file("path"), "TMPDIR="+folder, "ARGUMENTS=--load "+network)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	values := map[string]string{}
	for _, name := range []string{"env", "output"} {
		text, err := os.ReadFile(file(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Fields(string(text)) {
			key, value, _ := strings.Cut(line, "=")
			values[key] = value
		}
	}
	api := values["AWS_ENDPOINT_URL_VPC_LATTICE"]
	if api == "" || values["api"] != api || values["admin"] != values["TRELLIS_ADMIN"] {
		t.Errorf("the step sets %v", values)
	}
	added, err := os.ReadFile(file("path"))
	if err != nil {
		t.Fatal(err)
	}
	bin := strings.TrimSpace(string(added))
	ready, err := os.ReadFile(filepath.Join(bin, "ready.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, pid, _ := strings.Cut(string(ready), `"pid":`)
	number, err := strconv.Atoi(pid[:strings.IndexByte(pid, ',')])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(number, syscall.SIGTERM) }() // The runner ends what is left, too.
	status := exec.Command(filepath.Join(bin, "trellis"), "export", "--admin", values["TRELLIS_ADMIN"])
	if out, err := status.CombinedOutput(); err != nil || !strings.Contains(string(out), "name: shop") {
		t.Errorf("the node has %v\n%s", err, out)
	}
	response, err := http.Get(api + "/services")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the API answers %s", response.Status)
	}
}
