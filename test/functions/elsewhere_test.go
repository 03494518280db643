package functions_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// python runs a program, and returns what it prints.
func python(t *testing.T, args ...string) []byte {
	t.Helper()
	return runPython(t, absolute(t, "../../.venv-functions/bin/python"), args...)
}

func runPython(t *testing.T, interpreter string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(interpreter, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "AWS_EC2_METADATA_DISABLED=true")
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &problems)
	}
	return out
}

func TestFunctionsElsewhereAreInvokedByTheInvokeAPI(t *testing.T) {
	url := trellistest.StartMoto(t)
	python(t, "python/moto_function.py", url, `{"statusCode":201,"headers":{"x-from":"moto"},"body":"hello"}`)
	check := func(s *service) {
		t.Helper()
		for range 3 {
			if r := s.get("/"); r.StatusCode != 201 || string(r.body) != "hello" || r.Header.Get("X-From") != "moto" {
				t.Errorf("%d %v: %s", r.StatusCode, r.Header, r.body)
			}
		}
	}
	inventory := writeInventory(t, "functions:\n  - arn: %s\n    endpoint: %s\n  - arn: %s\n    endpoint: http://127.0.0.1:%d\n",
		functionARN("far"), url, functionARN("nowhere"), trellistest.FreePort(t))
	n := start(t, "--inventory", inventory)
	check(n.function("far", types.LambdaEventStructureVersionV2, functionARN("far")))
	r := n.function("nowhere", types.LambdaEventStructureVersionV1, functionARN("nowhere")).get("/")
	if r.StatusCode != 500 || r.Header.Get("X-Trellis-Failure") != "LambdaConnectionError" || !strings.Contains(r.Header.Get("X-Trellis-Problem"), "connection refused") {
		t.Errorf("a function that nobody has: %d %v", r.StatusCode, r.Header)
	}

	// Without an entry, only the operator's variable makes a function one that is elsewhere.
	if r := start(t).function("far", types.LambdaEventStructureVersionV1, functionARN("far")).get("/"); r.Header.Get("X-Trellis-Failure") != "LambdaNotFound" {
		t.Errorf("a function that nobody knows: %d %v", r.StatusCode, r.Header)
	}
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", url)
	check(start(t).function("far", types.LambdaEventStructureVersionV2, functionARN("far")))
}
