package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// wheelTags are the platforms of wheels (PEP 425, PEP 600, PEP 656). The programs for Linux are static: any libc will do.
var wheelTags = map[target]string{
	{"darwin", "amd64"}:  "macosx_12_0_x86_64",
	{"darwin", "arm64"}:  "macosx_12_0_arm64",
	{"linux", "amd64"}:   "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
	{"linux", "arm64"}:   "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
	{"windows", "amd64"}: "win_amd64",
}

// writeWheel writes a wheel (PEP 427) with which pip installs the program into the environment's bin folder.
func writeWheel(r release, p program, out string) error {
	binary, err := os.ReadFile(p.path)
	if err != nil {
		return err
	}
	tag := "py3-none-" + wheelTags[p.target]
	base := "trellis_lattice-" + r.pythonVersion()
	files := []file{
		{name: base + ".data/scripts/" + p.name(), mode: 0o755, data: binary},
		{name: base + ".dist-info/METADATA", mode: 0o644, data: fmt.Appendf(nil, "Metadata-Version: 2.4\nName: trellis-lattice\nVersion: %s\n"+
			"Summary: Application network that speaks the Amazon VPC Lattice API\nLicense-Expression: Apache-2.0\n", r.pythonVersion())},
		{name: base + ".dist-info/WHEEL", mode: 0o644, data: fmt.Appendf(nil, "Wheel-Version: 1.0\nGenerator: trellis packaging\nRoot-Is-Purelib: false\n%s", tagLines(p.target))},
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
