package stories_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// TestCommandsOfThePageWorkAsPrinted runs what docs/commands.md says of a node, and starts one with the network that it shows.
func TestCommandsOfThePageWorkAsPrinted(t *testing.T) {
	t.Parallel()
	page := string(must(os.ReadFile("../../docs/commands.md"))(t))
	folder, programs := t.TempDir(), t.TempDir()
	program := filepath.Join(programs, "trellis")
	if err := os.Symlink(trellistest.BuildFast(t), program); err != nil {
		t.Fatal(err)
	}
	run := func(p *trellistest.Process, environment []string, commands string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", commands)
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"), "TRELLIS_ADMIN="+p.Admin, "AWS_CONFIG_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
		cmd.Env = append(cmd.Env, environment...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s%v\n%s", commands, err, out)
		}
		return string(out)
	}
	node := func(args ...string) *trellistest.Process {
		return trellistest.Start(t, program, "dev", append(args, "--port-map", "80=0,443=0", "--dns-addr", "none", "--ca-dir", t.TempDir())...)
	}

	demo := node("--demo")
	trellistest.Await(t, func() bool {
		out, _, _ := trellis(t, program, []string{"TRELLIS_ADMIN=" + demo.Admin}, "status")
		return strings.Contains(out, "HEALTHY: 3")
	}, "the targets are healthy")
	_, name, _ := strings.Cut(run(demo, nil, "trellis export"), "domainName: ")
	name, _, _ = strings.Cut(name, "\n")
	run(demo, nil, strings.ReplaceAll(trellistest.Block(t, page, "sh", "trellis status"), "NAME", name))
	commands, load, _ := strings.Cut(trellistest.Block(t, page, "sh", "trellis export"), "trellis dev ")
	run(demo, nil, commands)
	run(demo, nil, trellistest.Block(t, page, "sh", "trellis backup"))
	exported := run(demo, nil, "trellis export")
	if loaded := node(strings.Fields(strings.ReplaceAll(load, "network.yaml", filepath.Join(folder, "network.yaml")))...); run(loaded, nil, "trellis export") != exported {
		t.Error("a node that is started with the network has another one")
	}

	// The network that is written by hand, and read from it as if it were AWS.
	written := writeFile(t, trellistest.Block(t, page, "yaml", "trellis: 1"))
	account, reader := node("--load", written), node()
	aws := []string{"AWS_ENDPOINT_URL_VPC_LATTICE=" + account.API, "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull}
	run(reader, aws, "echo 127.0.0.1:9002=127.0.0.1:9003 > targets.map\n"+trellistest.Block(t, page, "sh", "trellis import --from-aws --region us-west-2\n")+trellistest.Block(t, page, "sh", "trellis import --from-aws --region us-west-2 --map"))
	if got := run(reader, nil, "trellis export"); !strings.Contains(got, "name: backends") || !strings.Contains(got, "port: 9003") {
		t.Errorf("what was read is\n%s", got)
	}

	taken := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	broken := trellistest.Start(t, program, "dev", "--load", written, "--port-map", "80="+port, "--dns-addr", "none", "--ca-dir", t.TempDir())
	want(t, program, []string{"TRELLIS_ADMIN=" + broken.Admin}, 1, "address already in use", "status")

	serving := trellistest.Start(t, program, "serve", "--data-dir", filepath.Join(folder, "trellis-data"))
	if got := run(serving, nil, trellistest.Block(t, page, "sh", "AWS_SHARED_CREDENTIALS_FILE=")); !strings.HasPrefix(got, "trellis: 1\n") {
		t.Errorf("in serve the export is\n%s", got)
	}
}
