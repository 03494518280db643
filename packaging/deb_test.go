package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// debianRoot is a folder with what the package's scripts run and what dpkg keeps, and nothing else of a system.
type debianRoot struct {
	t    *testing.T
	path string
}

// sharedLibrary is a line of ldd.
var sharedLibrary = regexp.MustCompile(`(?m)(/\S+) \(0x[0-9a-f]+\)$`)

func newDebianRoot(t *testing.T) debianRoot {
	t.Helper()
	r := debianRoot{t, t.TempDir()}
	for _, folder := range []string{"etc", "tmp", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "run/systemd/system"} {
		if err := os.MkdirAll(filepath.Join(r.path, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"dev/null": "", "var/lib/dpkg/status": "", "etc/passwd": "root:x:0:0::/:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:1::::::\n", "etc/gshadow": "root:*::\n",
	} {
		r.write(name, text, 0o644)
	}
	// In the place of the manager, which does not run here, a list of what it was told.
	r.write("usr/bin/systemctl", "#!/bin/sh\necho \"$*\" >> /told\n", 0o755)
	for _, program := range []string{"sh", "rm", "getent", "userdel", "groupdel", "systemd-sysusers"} {
		path, err := exec.LookPath(program)
		if err != nil {
			path = "/usr/sbin/" + program
		}
		out, err := exec.Command("ldd", path).CombinedOutput()
		if err != nil {
			t.Skipf("%s is not there: %v %s", program, err, out)
		}
		r.copy(path, "/usr/bin/"+program)
		for _, library := range sharedLibrary.FindAllStringSubmatch(string(out), -1) {
			r.copy(library[1], library[1])
		}
	}
	r.copy("/usr/bin/sh", "/bin/sh")
	return r
}

func (r debianRoot) write(name, text string, mode fs.FileMode) {
	r.t.Helper()
	path := filepath.Join(r.path, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

func (r debianRoot) copy(from, to string) {
	r.t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write(to, string(data), 0o755)
}

// read returns the text of a file, which is empty if there is none.
func (r debianRoot) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(r.path, name))
	return string(text)
}

// dpkg runs dpkg on the folder. The package's scripts run within it.
func (r debianRoot) dpkg(args ...string) {
	r.t.Helper()
	cmd := exec.Command("dpkg", append([]string{"--root=" + r.path, "--force-confold", "--log=" + filepath.Join(r.path, "dpkg.log")}, args...)...)
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// ours are the names of files and folders that are the package's, or come from it.
func (r debianRoot) ours() (names []string) {
	err := filepath.WalkDir(r.path, func(path string, _ fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(path, r.path); strings.Contains(name, "trellis") {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// debOf writes a deb of a version for this machine.
func debOf(t *testing.T, version string) string {
	t.Helper()
	release, folder := testRelease, t.TempDir()
	release.Version = version
	if err := writeLinuxPackages(release, testProgram(t, target{"linux", runtime.GOARCH}), "..", folder); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	return found[0]
}

func TestTheDebIsInstalledUpgradedAndPurgedInAFreshRoot(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil || os.Geteuid() != 0 {
		t.Skip("only root with dpkg can install a deb")
	}
	root := newDebianRoot(t)
	before := root.ours()

	root.dpkg("--install", debOf(t, "v1.2.3"))
	for _, want := range []string{
		"/usr/bin/trellis", "/usr/lib/systemd/system/trellis.service", "/usr/lib/sysusers.d/trellis.conf", "/etc/trellis/trellis.yaml",
		"/usr/share/man/man1/trellis.1", "/usr/share/bash-completion/completions/trellis", "/usr/share/zsh/vendor-completions/_trellis",
		"/usr/share/fish/vendor_completions.d/trellis.fish", "/usr/share/doc/trellis/copyright",
	} {
		if !slices.Contains(root.ours(), want) {
			t.Errorf("%s is not installed: %v", want, root.ours())
		}
	}
	if passwd := root.read("etc/passwd"); !strings.Contains(passwd, "\ntrellis:") || !strings.Contains(passwd, "/var/lib/trellis:/usr/sbin/nologin") {
		t.Errorf("the users are\n%s", passwd)
	}
	root.verifyUnit()

	root.write("etc/trellis/trellis.yaml", "region: eu-west-1\n", 0o644)
	root.write("var/lib/trellis/etcd/member", "records", 0o600)
	root.write("told", "", 0o644)
	root.dpkg("--install", debOf(t, "v1.2.4"))
	if got := root.read("told"); got != "daemon-reload\ndaemon-reload\nkill --kill-whom=main --signal=SIGUSR2 trellis.service\n" && got != "daemon-reload\nkill --kill-whom=main --signal=SIGUSR2 trellis.service\n" {
		t.Errorf("at an upgrade the manager is told\n%s", got)
	}
	if got := root.read("etc/trellis/trellis.yaml"); got != "region: eu-west-1\n" {
		t.Errorf("after the upgrade the configuration is %q", got)
	}

	root.write("told", "", 0o644)
	root.dpkg("--remove", "trellis")
	if got := root.read("told"); !strings.HasPrefix(got, "disable --now trellis.service\n") {
		t.Errorf("at the removal the manager is told\n%s", got)
	}
	if root.read("usr/bin/trellis") != "" || root.read("var/lib/trellis/etcd/member") != "records" || root.read("etc/trellis/trellis.yaml") == "" {
		t.Errorf("after the removal there are %v", root.ours())
	}

	root.dpkg("--purge", "trellis")
	if left := root.ours(); !slices.Equal(left, before) {
		t.Errorf("after the purge there are still %v", left)
	}
	for _, file := range []string{"etc/passwd", "etc/group", "etc/shadow"} {
		if text := root.read(file); strings.Contains(text, "trellis") {
			t.Errorf("after the purge %s has\n%s", file, text)
		}
	}
}

// verifyUnit has systemd look at the installed unit, whose program is in the folder.
func (r debianRoot) verifyUnit() {
	r.t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		r.t.Log("there is no systemd to verify the unit with")
		return
	}
	unit := filepath.Join(r.t.TempDir(), "trellis.service")
	text := strings.ReplaceAll(r.read("usr/lib/systemd/system/trellis.service"), packagedProgram, filepath.Join(r.path, packagedProgram))
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		r.t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
