package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
)

var testRelease = release{
	Version: "v1.2.3", Commit: "0123456789abcdef0123456789abcdef01234567", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	Help: help{program: "Usage: trellis <command>\n\nCommands:\n  dev    Run it.\n\nRun more.\n", commands: []commandHelp{{"dev", "Usage: trellis dev\n\n.dots and \\ and --flags\n"}}},
}

// testProgram is this test's program, in the place of one for a target, whose architecture it ends with. It has build information
// too.
func testProgram(t *testing.T, of target) program {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, append(text, of.Arch...), 0o755); err != nil {
		t.Fatal(err)
	}
	return program{target: of, path: path}
}

// pack packs programs for two targets as the command does.
func pack(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	amd64, arm64 := testProgram(t, target{"linux", "amd64"}), testProgram(t, target{"linux", "arm64"})
	for _, p := range []program{arm64, testProgram(t, target{"windows", "amd64"})} {
		if err := packProgram(testRelease, p, "..", folder); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeImage(testRelease, []program{amd64, arm64}, filepath.Join(folder, "image.tar")); err != nil {
		t.Fatal(err)
	}
	if err := writeChecksums(folder); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestTheSameCommitGivesTheSameBytes(t *testing.T) {
	first, second := pack(t), pack(t)
	a, err := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(second, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("the first time:\n%s\nthe second time:\n%s", a, b)
	}
	for _, want := range []string{
		"trellis_1.2.3_linux_arm64.tar.gz", "trellis_1.2.3_windows_amd64.zip", "trellis_1.2.3_arm64.deb", "trellis-1.2.3-1.aarch64.rpm",
		"trellis_1.2.3_linux_arm64.cdx.json", "trellis_lattice-1.2.3-py3-none-win_amd64.whl", "image.tar",
	} {
		if !strings.Contains(string(a), "  "+want+"\n") {
			t.Errorf("%s is missing among\n%s", want, a)
		}
	}
}

func TestAWheelRecordsItsFiles(t *testing.T) {
	archive, err := zip.OpenReader(filepath.Join(pack(t), "trellis_lattice-1.2.3-py3-none-win_amd64.whl"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	contents := map[string][]byte{}
	for _, entry := range archive.File {
		r, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		if contents[entry.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(entry.Name, "/scripts/") && entry.Mode().Perm() != 0o755 {
			t.Errorf("%s has the mode %s", entry.Name, entry.Mode())
		}
	}
	record := string(contents["trellis_lattice-1.2.3.dist-info/RECORD"])
	for name, data := range contents {
		sum := sha256.Sum256(data)
		want := fmt.Sprintf("%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(data))
		if strings.HasSuffix(name, "/RECORD") {
			want = name + ",,\n"
		}
		if !strings.Contains(record, want) {
			t.Errorf("RECORD lacks %q:\n%s", want, record)
		}
	}
}

func TestTheBillOfMaterialsNamesEachModule(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(pack(t), "trellis_1.2.3_linux_arm64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := json.Unmarshal(text, &bom); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, c := range *bom.Components {
		names[c.Name] = c.Version != ""
	}
	for _, want := range []string{"std", "github.com/goreleaser/nfpm/v2", "github.com/google/go-containerregistry"} {
		if !names[want] {
			t.Errorf("%s is not listed with its version: %v", want, names)
		}
	}
}

func TestVersionsOfCommitsWithoutATagAreInOrder(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3":                                   "1.2.3",
		"v0.0.0-20260102030405-0123456789ab":       "0.0.0.dev20260102030405",
		"v0.0.0-20260102030405-0123456789ab+dirty": "0.0.0.dev20260102030405+dirty",
	} {
		if got := (release{Version: version}).pythonVersion(); got != want {
			t.Errorf("%s is %s for Python, want %s", version, got, want)
		}
	}
}

func TestTheManPageShowsTextAsItIs(t *testing.T) {
	page := string(testRelease.manPage())
	for _, want := range []string{".TH TRELLIS 1 \"2026-01-02\" \"Trellis 1.2.3\"\n", ".SS trellis dev\n.nf\n\\&.dots and \\e and \\-\\-flags\n"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	path, err := exec.LookPath("man")
	if err != nil {
		t.Skip("there is no man to read it with")
	}
	file := filepath.Join(t.TempDir(), "trellis.1")
	if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	reader := exec.Command(path, "--warnings", "-l", file)
	reader.Env = append(os.Environ(), "MANWIDTH=80", "LC_ALL=C.UTF-8")
	var problems bytes.Buffer
	reader.Stderr = &problems
	out, err := reader.Output()
	if err != nil || problems.Len() > 0 || !bytes.Contains(out, []byte("       .dots and \\ and --flags\n")) {
		t.Errorf("man: %v %s\n%s", err, problems.Bytes(), out)
	}
}
