package functions_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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

func TestFunctionsElsewhereAreInvokedWithTheProfileOfTheEnvironment(t *testing.T) {
	authorizations := make(chan string, 10)
	lambda := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorizations <- r.Header.Get("Authorization")
		io.WriteString(w, `{"statusCode":204}`)
	}))
	defer lambda.Close()
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte("[default]\naws_access_key_id = AKIDOFNOBODY\naws_secret_access_key = a\n"+
		"[functions]\naws_access_key_id = AKIDOFFUNCTIONS\naws_secret_access_key = b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_SHARED_CREDENTIALS_FILE": credentials, "AWS_CONFIG_FILE": os.DevNull, "AWS_PROFILE": "functions",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	n := start(t, "--inventory", writeInventory(t, "functions:\n  - arn: %s\n    endpoint: %s\n", functionARN("far"), lambda.URL))
	if r := n.function("far", types.LambdaEventStructureVersionV2, functionARN("far")).get("/"); r.StatusCode != 204 {
		t.Fatalf("%d %v: %s", r.StatusCode, r.Header, r.body)
	}
	if got := <-authorizations; !strings.Contains(got, "Credential=AKIDOFFUNCTIONS/") || !strings.Contains(got, "/us-west-2/lambda/aws4_request") {
		t.Errorf("the call is signed by %s", got)
	}
}
