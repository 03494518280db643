package trust

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

const needsRoot = "it takes root: run the command again with sudo"

// find returns the path of a program. The programs of administrators are not on every user's PATH.
func find(program string) (path string, ok bool) {
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	path = filepath.Join("/usr/sbin", program)
	_, err := os.Stat(path)
	return path, err == nil
}

// system is the store of a system.
type system struct {
	name         string
	directory    string // of files that the program takes up
	extension    string
	program      string
	afterRemoval []string // arguments of the program
	bundle       string   // the file with all authorities
	// lock is the lock file of dpkg's frontends. Debian's Java takes up the system's store by a trigger of dpkg, which does not
	// run while another process installs packages.
	lock string
	// complaint begins a line with which the program says that a part of it failed, although it ends with 0.
	complaint string
}

// systemStore returns the store of this system.
func systemStore() (s system, ok bool) {
	for _, s := range []system{
		{"the system's store (Debian's ca-certificates)", "/usr/local/share/ca-certificates", ".crt", "update-ca-certificates", []string{"--fresh"}, "/etc/ssl/certs/ca-certificates.crt", "/var/lib/dpkg/lock-frontend", "E: "},
		{"the system's store (Fedora's ca-certificates)", "/etc/pki/ca-trust/source/anchors", ".pem", "update-ca-trust", nil, "/etc/pki/tls/certs/ca-bundle.crt", "", ""},
		{"the system's store (Arch's ca-certificates)", "/etc/ca-certificates/trust-source/anchors", ".crt", "update-ca-trust", nil, "/etc/ssl/certs/ca-certificates.crt", "", ""},
	} {
		program, found := find(s.program)
		if info, err := os.Stat(s.directory); found && err == nil && info.IsDir() {
			s.program = program
			return s, true
		}
	}
	return s, false
}

func (s *system) file(name string) string { return filepath.Join(s.directory, name+s.extension) }

// step returns a step whose command makes the system take up what its directory has.
func (s *system) step(args ...string) Step {
	return Step{Store: s.name, Command: append([]string{s.program}, args...), Obstacle: s.obstacle(), system: *s}
}

func (s *system) obstacle() string {
	if os.Geteuid() != 0 {
		return needsRoot
	}
	return ""
}

// ours returns the files of this package.
func (s *system) ours() []string {
	files, _ := filepath.Glob(s.file("trellis-*")) // The pattern is well-formed.
	return slices.DeleteFunc(files, func(file string) bool {
		return !regexp.MustCompile("^" + nameOf + "$").MatchString(strings.TrimSuffix(filepath.Base(file), s.extension))
	})
}

// java is an installation of Java.
type java struct {
	keytool string
	cacerts string
	// ofSystem says that the store is made from the system's.
	ofSystem bool
}

// javas returns what is found by JAVA_HOME and on the PATH.
func javas() []java {
	var found []java
	candidates := []string{filepath.Join(os.Getenv("JAVA_HOME"), "bin", "keytool")}
	if path, ok := find("keytool"); ok {
		candidates = append(candidates, path)
	}
	for _, keytool := range candidates {
		keytool, err := filepath.EvalSymlinks(keytool)
		if err != nil || !filepath.IsAbs(keytool) {
			continue
		}
		cacerts, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(keytool), "../lib/security/cacerts"))
		if err != nil || slices.ContainsFunc(found, func(j java) bool { return j.cacerts == cacerts }) {
			continue
		}
		_, hasStore := systemStore()
		// Debian's and Fedora's packages keep it below /etc, and write it with the system's store.
		found = append(found, java{keytool, cacerts, hasStore && strings.HasPrefix(cacerts, "/etc/")})
	}
	return found
}

func (j *java) store() string { return "Java (" + j.cacerts + ")" }

// command returns a command of keytool. The password is that of every Java.
func (j *java) command(does string, args ...string) []string {
	return append([]string{j.keytool, does, "-keystore", j.cacerts, "-storepass", "changeit"}, args...)
}

func (j *java) obstacle() string {
	file, err := os.OpenFile(j.cacerts, os.O_WRONLY, 0)
	if err != nil {
		return needsRoot
	}
	file.Close()
	return ""
}

func (j *java) ours(ctx context.Context) []string {
	printed, _ := output(ctx, j.command("-list")) // A store that cannot be read has no certificate of Trellis.
	return names(printed)
}

func (j *java) has(ctx context.Context, name string) bool { return slices.Contains(j.ours(ctx), name) }

// nss is a database of Mozilla's NSS.
type nss struct {
	certutil  string // "" if it is missing
	directory string
	as        []string // words before a command that run it as the user
}

// nssStores returns those of the user, who is the one that has called sudo.
func nssStores() []nss {
	home, err := os.UserHomeDir()
	var as []string
	if who, err := user.LookupId(os.Getenv("SUDO_UID")); err == nil && os.Geteuid() == 0 {
		home, as = who.HomeDir, []string{"sudo", "-u", "#" + who.Uid}
	}
	if err != nil && as == nil {
		return nil
	}
	certutil, ok := find("certutil")
	if !ok || runtime.GOOS == "windows" { // Windows has another program of that name.
		certutil = ""
	}
	var found []nss
	for _, pattern := range []string{
		".mozilla/firefox/*", ".config/mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*", ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
		"Library/Application Support/Firefox/Profiles/*", ".pki/nssdb",
	} {
		databases, _ := filepath.Glob(filepath.Join(home, pattern, "cert9.db")) // The patterns are well-formed.
		for _, database := range databases {
			found = append(found, nss{certutil, filepath.Dir(database), as})
		}
	}
	return found
}

func (n *nss) store() string {
	return "NSS, which Firefox and Chrome use (" + n.directory + ")"
}

func (n *nss) command(does string, args ...string) []string {
	program := n.certutil
	if program == "" {
		program = "certutil"
	}
	return append(append(slices.Clone(n.as), program, does, "-d", "sql:"+n.directory), args...)
}

func (n *nss) obstacle() string {
	if n.certutil == "" {
		return "certutil is missing; it is in Debian's libnss3-tools, Fedora's nss-tools and Homebrew's nss"
	}
	return ""
}

func (n *nss) ours(ctx context.Context) []string {
	if n.certutil == "" {
		return nil // Without certutil, nothing was put into the database.
	}
	printed, _ := output(ctx, n.command("-L")) // A database that cannot be read has no certificate of Trellis.
	return names(printed)
}
