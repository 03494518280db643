package trellistest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// root returns the path of a file of the repository.
func root(name string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../..", name)
}

// Install runs a script of the project that installs what is missing, and returns what it prints. The tests of several packages
// run at the same time: one of them installs, and the others wait.
func Install(t testing.TB, script string, args ...string) string {
	t.Helper()
	lock, err := fileutil.LockFile(root(".venv-lock"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	var problems bytes.Buffer
	cmd := exec.Command(root("scripts/"+script), args...)
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s (make test says what is missing): %v\n%s%s", script, err, out, problems.Bytes())
	}
	return strings.TrimSpace(string(out))
}
