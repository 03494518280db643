package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// wheelTags are the platforms of wheels (PEP 425, PEP 600, PEP 656). The programs for Linux are static: any libc will do.
var wheelTags = map[target]string{
	{"darwin", "amd64"}:  "macosx_12_0_x86_64",
	{"darwin", "arm64"}:  "macosx_12_0_arm64",
	{"linux", "amd64"}:   "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
	{"linux", "arm64"}:   "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
	{"windows", "amd64"}: "win_amd64",
}

// pythonFiles are the modules of the wheel: the client of a running node, and the fixtures of pytest.
//
//go:embed python/trellis_lattice/*.py
var pythonFiles embed.FS

// wheelMetadata names the requirements of the fixtures as an extra, so that an installation of the program alone has none.
const wheelMetadata = "Metadata-Version: 2.4\nName: trellis-lattice\nVersion: %s\n" +
	"Summary: Application network that speaks the Amazon VPC Lattice API\nLicense-Expression: Apache-2.0\nRequires-Python: >=3.9\n" +
	"Provides-Extra: pytest\nRequires-Dist: boto3; extra == 'pytest'\nRequires-Dist: pytest; extra == 'pytest'\n"

// writeWheel writes a wheel (PEP 427) with which pip installs the program into the environment's bin folder, and a package of
// Python that starts it for tests.
func writeWheel(r release, p program, out string) error {
	binary, err := os.ReadFile(p.path)
	if err != nil {
		return err
	}
	tag := "py3-none-" + wheelTags[p.target]
	base := "trellis_lattice-" + r.pythonVersion()
	files := []file{
		{name: base + ".data/scripts/" + p.name(), mode: 0o755, data: binary},
		{name: base + ".dist-info/METADATA", mode: 0o644, data: fmt.Appendf(nil, wheelMetadata, r.pythonVersion())},
		{name: base + ".dist-info/entry_points.txt", mode: 0o644, data: []byte("[pytest11]\ntrellis = trellis_lattice.pytest_plugin\n")},
		{name: base + ".dist-info/WHEEL", mode: 0o644, data: fmt.Appendf(nil, "Wheel-Version: 1.0\nGenerator: trellis packaging\nRoot-Is-Purelib: false\n%s", tagLines(p.target))},
	}
	modules, err := fs.Glob(pythonFiles, "python/*/*.py")
	if err != nil {
		return err
	}
	for _, module := range modules {
		text, err := pythonFiles.ReadFile(module)
		if err != nil {
			return err
		}
		files = append(files, file{name: strings.TrimPrefix(module, "python/"), mode: 0o644, data: text})
	}
	var record bytes.Buffer
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.data))
	}
	fmt.Fprintf(&record, "%s.dist-info/RECORD,,\n", base)
	files = append(files, file{name: base + ".dist-info/RECORD", mode: 0o644, data: record.Bytes()})
	return writeFile(filepath.Join(out, base+"-"+tag+".whl"), func(w io.Writer) error { return writeZip(w, r, "", files) })
}

// tagLines are the tags of a wheel in its WHEEL file, each on a line of its own.
func tagLines(t target) string {
	var lines bytes.Buffer
	for platform := range bytes.SplitSeq([]byte(wheelTags[t]), []byte(".")) {
		fmt.Fprintf(&lines, "Tag: py3-none-%s\n", platform)
	}
	return lines.String()
}
