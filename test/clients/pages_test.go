package clients_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"trellis/test/trellistest"
)

var (
	// A block of commands, with what they print if the page says so.
	pageBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?")
	// The addresses that the page gives to its parts.
	pageAddress = regexp.MustCompile(`\b127\.0\.0\.([12][0-9])\b`)
)

// clusterPage runs the commands of docs/cluster.md, but on other loopback addresses.
func (e environment) clusterPage(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	trellistest.Install(t, "cluster_programs.sh")
	network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
	e.runPage(t, "cluster.md", func(commands string) string { return pageAddress.ReplaceAllString(commands, network+"$1") },
		"etcd/log", "node-a/log", "node-b/log", "balancer/log")
}

// signingPage runs the commands of docs/signing.md, but on other ports, and waits for what they start.
func (e environment) signingPage(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("other systems have to be given the addresses first")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	api, target, service := trellistest.FreePort(t), trellistest.FreePort(t), trellistest.FreePort(t)
	admin := trellistest.FreePort(t)
	ports := strings.NewReplacer("7600", strconv.Itoa(api), "9001", strconv.Itoa(target), "8080", strconv.Itoa(service),
		"trellis dev ", fmt.Sprintf("trellis dev --api-addr 127.0.0.1:%d --admin-addr 127.0.0.1:%d --port-map 80=%d --dns-addr none --ca-dir ca ", api, admin, service),
		"> trellis.log 2>&1 &\n", fmt.Sprintf("> trellis.log 2>&1 &\ncurl --silent --output ready --output ready --retry 600 --retry-delay 1 --retry-connrefused http://127.0.0.1:%d/readyz http://127.0.0.1:%d/\n", admin, target))
	e.runPage(t, "signing.md", ports.Replace, "trellis.log", "target.log")
}

// othersPage runs the commands of docs/with-others.md, but on other ports, and waits for what they start.
func (e environment) othersPage(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	trellistest.Install(t, "venv.sh", "functions")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	moto, api, admin := trellistest.FreePort(t), trellistest.FreePort(t), trellistest.FreePort(t)
	ports := strings.NewReplacer("5000", strconv.Itoa(moto), "7600", strconv.Itoa(api),
		"moto_server ", root+"/.venv-functions/bin/moto_server ", "python3 ", root+"/.venv-functions/bin/python ",
		"node list.mjs", "ln -s "+root+"/test/clients/javascript/node_modules node_modules\nnode list.mjs",
		"trellis import ", fmt.Sprintf("trellis import --admin http://127.0.0.1:%d ", admin),
		"trellis dev ", fmt.Sprintf("trellis dev --api-addr 127.0.0.1:%d --admin-addr 127.0.0.1:%d --port-map 80=0,443=0 --dns-addr none --ca-dir ca ", api, admin),
		"> trellis.log 2>&1 &\n", fmt.Sprintf("> trellis.log 2>&1 &\ncurl --silent --output ready --output ready --retry 600 --retry-delay 1 --retry-connrefused http://127.0.0.1:%d/readyz http://127.0.0.1:%d/moto-api/data.json\n", admin, moto))
	e.runPage(t, "with-others.md", ports.Replace, "trellis.log", "moto.log", "notes")
}

// runPage runs the commands of a page as they are printed, except for an edit, and compares what they print with what the
// page says. The logs are those of what the commands start.
func (e environment) runPage(t *testing.T, name string, edit func(commands string) string, logs ...string) {
	page, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]string{} // by the file that the script writes
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) || true; wait' EXIT\n"
	for i, block := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(block[1], "apt-get install") {
			continue
		}
		file := fmt.Sprintf("printed-%d", i)
		script += "{\n" + edit(block[1]) + "} > " + file + "\n"
		if block[2] != "" {
			printed[file] = block[2]
		}
	}
	if len(printed) == 0 {
		t.Fatal("the page says of no command what it prints")
	}

	dir := t.TempDir()
	programs := t.TempDir()
	if err := os.Symlink(e.trellis, filepath.Join(programs, "trellis")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), programLimit)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir = dir
	shell.Env = []string{"PATH=" + programs + ":" + e.bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "no_proxy=*"}
	shell.Cancel = func() error { return shell.Process.Signal(os.Interrupt) } // it ends what it has started
	shell.WaitDelay = time.Minute
	var problems bytes.Buffer
	shell.Stderr = &problems
	if err := shell.Run(); err != nil {
		t.Errorf("%v\n%s", err, problems.Bytes())
		for _, log := range logs {
			text, _ := os.ReadFile(filepath.Join(dir, log)) // it may not have got that far
			t.Logf("%s:\n%s", log, text)
		}
	}
	for file, want := range printed {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || string(got) != want {
			t.Errorf("the commands print\n%s\n(%v), and the page says\n%s", got, err, want)
		}
	}
}
