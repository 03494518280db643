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
	"strings"
	"testing"
	"time"
)

var (
	// A block of commands, with what they print if the page says so.
	pageBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?")
	// The addresses that the page gives to its parts.
	pageAddress = regexp.MustCompile(`\b127\.0\.0\.([12][0-9])\b`)
)

// clusterPage runs the commands of docs/cluster.md as they are printed, but on other loopback addresses, and compares what
// they print with what the page says.
func (e environment) clusterPage(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	install(t, "../../scripts/cluster_programs.sh")
	page, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	network := fmt.Sprintf("127.%d.%d.", 1+rand.IntN(250), rand.IntN(250))
	printed := map[string]string{} // by the file that the script writes
	script := "set -euo pipefail\ntrap 'kill $(jobs -p) || true; wait' EXIT\n"
	for i, block := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(block[1], "apt-get install") {
			continue
		}
		file := fmt.Sprintf("printed-%d", i)
		script += "{\n" + pageAddress.ReplaceAllString(block[1], network+"$1") + "} > " + file + "\n"
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
	shell.Cancel = func() error { return shell.Process.Signal(os.Interrupt) } // It ends what it has started.
	shell.WaitDelay = time.Minute
	var problems bytes.Buffer
	shell.Stderr = &problems
	if err := shell.Run(); err != nil {
		t.Errorf("%v\n%s", err, problems.Bytes())
		for _, log := range []string{"etcd/log", "node-a/log", "node-b/log", "balancer/log"} {
			text, _ := os.ReadFile(filepath.Join(dir, log)) // It may not have come so far.
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
