package functions_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// TestFiveLinesOfTheReadmePutAFunctionBehindAService carries out what stands there.
func TestFiveLinesOfTheReadmePutAFunctionBehindAService(t *testing.T) {
	trellistest.Install(t, "venv.sh", "functions")
	environment := absolute(t, "../../.venv-functions/bin")
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## A function behind a service\n")
	section, _, _ = strings.Cut(section, "\n## ")
	lines := trellistest.Block(t, section, "python", "group =")
	if n := strings.Count(lines, "\n"); n != 5 {
		t.Errorf("there are %d lines", n)
	}
	tour := trellistest.Block(t, string(readme), "python", "import boto3")
	client, _, _ := strings.Cut(tour[strings.Index(tour, "lattice ="):], "\n\n")
	network := regexp.MustCompile(`(?m)^network = .*$`).FindString(tour)
	command := regexp.MustCompile(`^trellis dev --function hello='(.*)'\n$`).FindStringSubmatch(trellistest.Block(t, section, "sh", "trellis dev"))
	if command == nil {
		t.Fatal("the command has another form")
	}

	dir := t.TempDir()
	app := trellistest.Block(t, section, "python", "def handler")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "app.py"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(app)
	t.Setenv("PATH", environment+":"+os.Getenv("PATH"))
	program, port := trellistest.Build(t), trellistest.FreePort(t)
	t.Chdir(dir)
	p := trellistest.Start(t, program, "dev", "--port-map", fmt.Sprintf("80=%d", port), "--function", "hello="+command[1])
	script := "import boto3\n" + strings.Replace(client, "http://127.0.0.1:7600", p.API, 1) + "\n" + network + "\n" + lines + "print(service[\"dnsEntry\"][\"domainName\"])\n"
	host := strings.TrimSpace(string(runPython(t, environment+"/python", "-c", script)))
	get := func(path string) string {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return readAll(t, response.Body)
	}
	if got := get("/a?b=c"); got != "hello from /a?b=c" {
		t.Errorf("the function answers %q", got)
	}
	write(strings.Replace(app, "hello", "goodbye", 1))
	trellistest.Await(t, func() bool { return get("/") == "goodbye from /" }, "the change counts")
}
