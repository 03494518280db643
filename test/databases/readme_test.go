package databases

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"trellis/test/trellistest"
)

// tourBlock is commands, or a part of a program, of the tour of README.md.
var tourBlock = regexp.MustCompile("(?ms)^```(sh|python)\n(.*?)^```$")

// The machine has a network of its own, in which all ports are free, a hosts file of its own, and a database on port 5432. The
// parts of the program go to one interpreter, since later ones use what earlier ones have made.
const (
	tourBegin = `set -euo pipefail
ip link set lo up
cp /etc/hosts hosts
mount --bind hosts /etc/hosts
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
sudo() { "$@"; }
await() { curl --silent --output /dev/null --retry 600 --retry-delay 1 --retry-connrefused "$1"; }
setpriv --reuid=%d --regid=%d --clear-groups %s -p 5432 >postgres.log 2>&1 &
until (exec 3<>/dev/tcp/127.0.0.1/5432) 2>/dev/null; do sleep 0.1; done
coproc INTERPRETER { python3 -u interpreter.py; }
part() {
  echo "$1" >&"${INTERPRETER[1]}"
  read -r result <&"${INTERPRETER[0]}"
  [ "$result" = done ]
}
`
	tourAwait = `await http://127.0.0.1:7601/readyz
await http://127.0.0.1:9001/
`
	tourInterpreter = `import contextlib, io, sys, traceback

names = {}
for line in sys.stdin:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(open(line.strip()).read(), names)
    except Exception:
        traceback.print_exc()
        print("failed")
        continue
    if printed.getvalue():
        open("name", "w").write(printed.getvalue().strip())
    open("group", "w").write(names["group"]["id"])
    print("done")
`
)

func TestTourOfTheReadmeWorksAsPrintedOnAMachineWhereNothingIsSetUp(t *testing.T) {
	programs := installed(t)
	trellistest.Install(t, "dig.sh")
	trellistest.Install(t, "venv.sh")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tour, _ := strings.Cut(string(page), "## Three-minute tour")
	tour, _, found := strings.Cut(tour, "Watch requests as they are answered")
	if !found {
		t.Fatal("the tour has another form")
	}
	work := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("interpreter.py", tourInterpreter)
	p := newPostgres(t, programs)
	script := fmt.Sprintf(tourBegin, p.as.Uid, p.as.Gid, strings.Join(p.args, " "))
	known := strings.NewReplacer("<the printed name>", "$(cat name)", "<group id>", "$(cat group)")
	for i, block := range tourBlock.FindAllStringSubmatch(tour, -1) {
		if block[1] == "python" {
			part := fmt.Sprintf("part-%d.py", i)
			write(part, block[2])
			script += "part " + part + "\n"
			continue
		}
		commands := known.Replace(block[2])
		if built, ok := strings.CutPrefix(commands, "make build\n"); ok { // It is made below, where the sources are.
			commands = built + tourAwait
		}
		script += commands
	}
	build := exec.Command("make", "build")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(root, "bin"), filepath.Join(work, "bin")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "unshare", "--mount", "--net", "bash", "-c", script)
	shell.Dir = work
	shell.Env = []string{"PATH=" + filepath.Join(root, ".venv/bin") + ":" + os.Getenv("PATH"), "HOME=" + work, "PGCONNECT_TIMEOUT=20", "no_proxy=*"}
	shell.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	shell.Cancel = func() error { return shell.Process.Signal(syscall.SIGTERM) }
	shell.WaitDelay = 20 * time.Second
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	for what, count := range map[string]int{"<title>Directory listing for /</title>": 3, "\n200\n": 1, `"status":"HEALTHY"`: 1, "(1 row)": 2} {
		if got := strings.Count(string(out), what); got < count {
			t.Errorf("%q was printed %d times, want %d:\n%s", what, got, count, out)
		}
	}
}
