package trellistest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// Install runs a script of the project that installs what is missing, and returns what it prints. The tests of several packages
// run at the same time: one of them installs, and the others wait.
func Install(t testing.TB, script string, args ...string) string {
	t.Helper()
	if errRoot != nil {
		t.Fatal(errRoot)
	}
	lock, err := fileutil.LockFile(filepath.Join(root, ".venv-lock"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var problems bytes.Buffer
	cmd := exec.Command(filepath.Join(root, "scripts", script), args...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s (make test says what is missing): %v\n%s%s", script, err, out, problems.Bytes())
	}
	return strings.TrimSpace(string(out))
}
