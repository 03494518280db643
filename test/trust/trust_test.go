// Package trust makes the stores of a machine trust the local authority of a node, with the real programs that change them.
package trust

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"trellis/test/trellistest"
)

// machine is this machine with stores of its own: copies in a mount namespace, and another home.
type machine struct {
	t                        *testing.T
	home, etc, local, javaAt string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		t.Skip("needs root, for stores that are not the machine's own: sudo env PATH=$PATH go test ./test/trust")
	}
	trellistest.Install(t, "trust_stores.sh")
	m := &machine{t, t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()}
	m.must(exec.Command("cp", "-a", "/etc/ssl/certs/.", m.etc))
	profile := filepath.Join(m.home, ".mozilla/firefox/0a1b2c3d.default")
	m.must(exec.Command("mkdir", "-p", profile))
	m.must(exec.Command("certutil", "-N", "--empty-password", "-d", "sql:"+profile))
	// A Java that was not installed by the system's packages has a store of its own.
	m.must(exec.Command("sh", "-c", `mkdir -p "$0/bin" "$0/lib/security" && cp -L /etc/ssl/certs/java/cacerts "$0/lib/security" &&
		printf '#!/bin/sh\nexec keytool "$@"\n' > "$0/bin/keytool" && chmod +x "$0/bin/keytool"`, m.javaAt))
	return m
}

func (m *machine) must(cmd *exec.Cmd) {
	m.t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// command returns a command that runs a program on the machine.
func (m *machine) command(program string, args ...string) *exec.Cmd {
	script := `mount --bind "$0" /etc/ssl/certs && mount --bind "$1" /usr/local/share/ca-certificates && shift && exec "$@"`
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, m.etc, m.local, program}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+m.home, "XDG_CACHE_HOME="+m.home+"/cache", "JAVA_HOME="+m.javaAt, "SUDO_UID=")
	return cmd
}

// run runs a program on the machine and returns what it prints.
func (m *machine) run(program string, args ...string) (string, error) {
	out, err := m.command(program, args...).CombinedOutput()
	return string(out), err
}

// stores returns which stores have an authority of Trellis.
func (m *machine) stores() string {
	m.t.Helper()
	var found []string
	for name, list := range map[string][]string{
		"the system": {"ls", "/usr/local/share/ca-certificates", "/etc/ssl/certs"},
		"its Java":   {"keytool", "-list", "-keystore", "/etc/ssl/certs/java/cacerts", "-storepass", "changeit"},
		"a Java":     {"keytool", "-list", "-keystore", m.javaAt + "/lib/security/cacerts", "-storepass", "changeit"},
		"Firefox":    {"certutil", "-L", "-d", "sql:" + m.home + "/.mozilla/firefox/0a1b2c3d.default"},
	} {
		printed, err := m.run(list[0], list[1:]...)
		if err != nil {
			m.t.Fatalf("%v: %v\n%s", list, err, printed)
		}
		if strings.Contains(printed, "trellis-") {
			found = append(found, name)
		}
	}
	return fmt.Sprint(len(found), " ", found)
}

func TestProgramsTrustTheLocalAuthorityUntilItIsUninstalled(t *testing.T) {
	m := newMachine(t)
	program := trellistest.BuildFast(t)
	node := trellistest.Start(t, program, "dev", "--ca-dir", t.TempDir(), "--port-map", "80=0,443=0", "--dns-addr", "none")
	page := strings.Replace(node.API, "http://", "https://", 1) + "/services"
	if out, err := m.run("curl", "-sS", page); err == nil {
		t.Fatalf("curl trusts the authority before: %s", out)
	}
	out, err := m.run(program, "trust", "install", "--admin", node.Admin)
	if err == nil || !strings.Contains(out, "nobody answers") || !strings.HasPrefix(m.stores(), "0 ") {
		t.Fatalf("without an answer: %v, %s\n%s", err, m.stores(), out)
	}
	for range 2 { // The second time changes nothing.
		out, err = m.run(program, "trust", "install", "--yes", "--admin", node.Admin)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, want := range []string{
			"the system's store (Debian's ca-certificates):\n  write /usr/local/share/ca-certificates/trellis-", "  run /usr/sbin/update-ca-certificates\n",
			"NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/trellis-", "Java (/etc/ssl/certs/java/cacerts) takes the system's store",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("install does not say %q:\n%s", want, out)
			}
		}
		if got := m.stores(); !strings.HasPrefix(got, "4 ") {
			t.Errorf("the stores with the authority are %s, want 4\n%s", got, out)
		}
	}
	if out, err := m.run("curl", "-sS", page); err != nil || !strings.Contains(out, "items") {
		t.Errorf("curl: %v\n%s", err, out)
	}
	if out, err = m.run(program, "trust", "uninstall", "--yes"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := m.stores(); !strings.HasPrefix(got, "0 ") {
		t.Errorf("after uninstall the stores with the authority are %s, want none\n%s", got, out)
	}
	if out, err := m.run("curl", "-sS", page); err == nil {
		t.Errorf("curl trusts the authority afterwards: %s", out)
	}
	if out, err = m.run(program, "trust", "uninstall", "--yes"); err != nil || !strings.Contains(out, "No store has an authority of Trellis") {
		t.Errorf("uninstall once more: %v\n%s", err, out)
	}
}

// Debian's Java takes over the system's store in a trigger of dpkg. While apt is at work that fails, and nothing makes up for it.
func TestInstallWaitsForAPackageManager(t *testing.T) {
	m := newMachine(t)
	program := trellistest.BuildFast(t)
	node := trellistest.Start(t, program, "dev", "--ca-dir", t.TempDir(), "--port-map", "80=0,443=0", "--dns-addr", "none")
	apt, err := os.OpenFile("/var/lib/dpkg/lock-frontend", os.O_RDWR, 0)
	if err != nil {
		t.Skip("needs dpkg: ", err)
	}
	defer apt.Close()
	if err := unix.FcntlFlock(apt.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	install := m.command(program, "trust", "install", "--yes", "--admin", node.Admin)
	printed, err := install.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var problems strings.Builder
	install.Stderr = &problems
	if err := install.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for lines := bufio.NewScanner(printed); lines.Scan(); {
		fmt.Fprintln(&out, lines.Text())
		if strings.HasPrefix(lines.Text(), fmt.Sprintf("waiting for process %d, which is installing packages", os.Getpid())) {
			if got := m.stores(); !strings.HasPrefix(got, "0 ") {
				t.Errorf("while packages are installed, the stores with the authority are %s, want none", got)
			}
			apt.Close()
		}
	}
	if err := install.Wait(); err != nil || !strings.Contains(out.String(), "waiting for process") {
		t.Errorf("%v: %s%s", err, problems.String(), out.String())
	}
	if got := m.stores(); !strings.HasPrefix(got, "4 ") {
		t.Errorf("the stores with the authority are %s, want 4\n%s", got, out.String())
	}
}

func TestStepsThatNeedRootAreListedAndNotDone(t *testing.T) {
	m := newMachine(t)
	program := filepath.Join(t.TempDir(), "trellis")
	m.must(exec.Command("sh", "-c", `cp "$0" "$1" && chmod 755 "$1" && chmod 755 "${1%/*}" "${1%/*/*}"`, trellistest.BuildFast(t), program))
	node := trellistest.Start(t, program, "dev", "--ca-dir", t.TempDir(), "--port-map", "80=0,443=0", "--dns-addr", "none")
	m.must(exec.Command("sh", "-c", `chown -R 65534:65534 "$0" && chmod 755 "$0" "${0%/*}"`, m.home))
	out, err := m.run("setpriv", "--reuid=65534", "--clear-groups", program, "trust", "install", "--yes", "--admin", node.Admin)
	if err == nil || !strings.Contains(out, "not done: it takes root: run the command again with sudo") {
		t.Errorf("%v\n%s", err, out)
	}
	if got := m.stores(); got != "1 [Firefox]" {
		t.Errorf("the stores with the authority are %s, want Firefox alone\n%s", got, out)
	}
}
