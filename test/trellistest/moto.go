package trellistest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// StartMoto starts a moto server, which stands in for AWS, until the test is over, and returns its URL. The test, and the
// processes that it starts, have credentials that moto accepts; none are read from the user's files.
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
	cmd := exec.Command(filepath.Join(root, ".venv-functions/bin/moto_server"), "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // The server was killed.
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
