package trellistest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// root returns the path of a file of the repository.
func root(name string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "../..", name)
}

// Install makes what a script of the project installs be there. The tests of several packages run at the same time: one of them
// installs, and the others wait.
func Install(t testing.TB, script, what string) {
	t.Helper()
	lock, err := fileutil.LockFile(root(".venv-lock"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if out, err := exec.Command(root("scripts/"+script), what).CombinedOutput(); err != nil {
		t.Fatalf("%s (make test says what is missing): %v\n%s", script, err, out)
	}
}

// StartMoto starts a moto server, which stands in for AWS, until the test is over, and returns its URL. The credentials of the
// test, and of the processes that it starts, are such as moto takes; none are read from the user's files.
func StartMoto(t testing.TB) string {
	t.Helper()
	Install(t, "venv.sh", "functions")
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	port := FreePort(t)
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	cmd := exec.Command(root(".venv-functions/bin/moto_server"), "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It has been killed.
	})
	Await(t, func() bool {
		r, err := http.Get(url + "/moto-api/data.json")
		if err == nil {
			r.Body.Close()
		}
		return err == nil
	}, "the moto server answers")
	return url
}
