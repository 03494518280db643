package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// The program's place in packages. deploy/trellis.service names the place of an installation by hand.
const (
	packagedProgram  = "/usr/bin/trellis"
	installedProgram = "/usr/local/bin/trellis"
)

// writeLinuxPackages writes a deb and an rpm: the program, its unit and user, an example of a configuration, the man page,
// the completion and the documentation.
func writeLinuxPackages(r release, p program, root, out string) error {
	work, err := os.MkdirTemp("", "trellis-packaging-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	made := func(name string, data []byte) (string, error) {
		path := filepath.Join(work, name)
		return path, os.WriteFile(path, data, 0o644)
	}
	unit, err := os.ReadFile(filepath.Join(root, "deploy/trellis.service"))
	if err != nil {
		return err
	}
	if !strings.Contains(string(unit), installedProgram) {
		return fmt.Errorf("deploy/trellis.service does not start %s", installedProgram)
	}
	unitPath, err := made("trellis.service", []byte(strings.ReplaceAll(string(unit), installedProgram, packagedProgram)))
	if err != nil {
		return err
	}
	manPath, err := made("trellis.1", r.manPage())
	if err != nil {
		return err
	}
	here := filepath.Join(root, "packaging")
	contents := files.Contents{
		{Source: p.path, Destination: packagedProgram, FileInfo: &files.ContentFileInfo{Mode: 0o755}},
		{Source: unitPath, Destination: "/usr/lib/systemd/system/trellis.service"},
		{Source: filepath.Join(root, "deploy/trellis.conf"), Destination: "/usr/lib/sysusers.d/trellis.conf"},
		{Source: manPath, Destination: "/usr/share/man/man1/trellis.1"},
		{Source: filepath.Join(here, "completion.bash"), Destination: "/usr/share/bash-completion/completions/trellis"},
		{Source: filepath.Join(here, "completion.fish"), Destination: "/usr/share/fish/vendor_completions.d/trellis.fish"},
		{Source: filepath.Join(here, "completion.zsh"), Destination: "/usr/share/zsh/vendor-completions/_trellis", Packager: "deb"},
		{Source: filepath.Join(here, "completion.zsh"), Destination: "/usr/share/zsh/site-functions/_trellis", Packager: "rpm"},
		{Source: filepath.Join(here, "trellis.yaml"), Destination: "/etc/trellis/trellis.yaml", Type: files.TypeConfigNoReplace},
		{Source: filepath.Join(root, "LICENSE"), Destination: "/usr/share/doc/trellis/copyright"},
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	if err != nil {
		return err
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		contents = append(contents, &files.Content{Source: page, Destination: "/usr/share/doc/trellis/" + filepath.Base(page)})
	}
	for _, c := range contents {
		if c.FileInfo == nil {
			c.FileInfo = &files.ContentFileInfo{Mode: 0o644}
		}
		c.FileInfo.MTime = r.Time
	}
	for name, packager := range map[string]nfpm.Packager{"deb": deb.Default, "rpm": rpm.DefaultRPM} {
		info := nfpm.WithDefaults(&nfpm.Info{
			Name: "trellis", Arch: p.target.Arch, Platform: "linux", Version: r.number(), Section: "net", Priority: "optional",
			Maintainer: "The Trellis maintainers", Description: "Application network that speaks the Amazon VPC Lattice API",
			License: "Apache-2.0", MTime: r.Time,
			Overridables: nfpm.Overridables{
				Contents: contents,
				Scripts: nfpm.Scripts{
					PostInstall: filepath.Join(here, "postinstall.sh"),
					PreRemove:   filepath.Join(here, "preremove.sh"),
					PostRemove:  filepath.Join(here, "postremove.sh"),
				},
				RPM: nfpm.RPM{BuildHost: "localhost"},
			},
		})
		if err := nfpm.PrepareForPackager(info, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		path := filepath.Join(out, packager.ConventionalFileName(info))
		if err := writeFile(path, func(w io.Writer) error { return packager.Package(info, w) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
