// Package trust puts the certificate of a local authority into the stores from which the programs of a machine take their
// authorities, and removes it again: the system's store, Java's, and those of Mozilla's NSS, which Firefox and Chrome use. It makes
// a plan first, which says what would be done and what cannot be. The stores' own programs change them. A certificate's name there
// is trellis- and its fingerprint, so that it is found again without the certificate.
package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// commandTimeout bounds a program that changes a store. Those of systems with hundreds of authorities take seconds.
const commandTimeout = 2 * time.Minute

// nameOf matches the names under which stores have certificates of this package.
const nameOf = `trellis-[0-9a-f]{16}`

// Plan says what changes in the stores of this machine.
type Plan struct {
	Steps []Step
	// Notes say what the operator may do.
	Notes []string
}

// Step changes one store.
type Step struct {
	// Store is the store, in words.
	Store string
	// Write is a file that is written with Contents, and Remove are files that are removed, before Command runs.
	Write    string
	Contents []byte
	Remove   []string
	Command  []string
	// Obstacle says why the step cannot be done. It is left out then.
	Obstacle string

	system system // whose store it is; the zero value for other stores
}

// Show tells what the plan does.
func (p *Plan) Show(out io.Writer) {
	for _, s := range p.Steps {
		fmt.Fprintf(out, "%s:\n", s.Store)
		if s.Write != "" {
			fmt.Fprintf(out, "  write %s\n", s.Write)
		}
		for _, file := range s.Remove {
			fmt.Fprintf(out, "  remove %s\n", file)
		}
		if len(s.Command) > 0 {
			fmt.Fprintf(out, "  run %s\n", strings.Join(s.Command, " "))
		}
		if s.Obstacle != "" {
			fmt.Fprintf(out, "  not done: %s\n", s.Obstacle)
		}
	}
}

// Possible returns how many steps can be done.
func (p *Plan) Possible() (count int) {
	for _, s := range p.Steps {
		if s.Obstacle == "" {
			count++
		}
	}
	return count
}

// Run does all steps that can be done, and tells out what it waits for. After a failure it goes on with the others.
func (p *Plan) Run(ctx context.Context, out io.Writer) error {
	var problems []error
	for _, s := range p.Steps {
		if s.Obstacle != "" {
			continue
		}
		if err := s.run(ctx, out); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", s.Store, err))
		}
	}
	return errors.Join(problems...)
}

func (s *Step) run(ctx context.Context, out io.Writer) error {
	var environment []string
	if _, err := os.Stat(s.system.lock); err == nil { // Other systems than Debian's have its program, too, and no dpkg.
		unlock, err := lock(ctx, s.system.lock, out)
		if err != nil {
			return err
		}
		defer unlock()
		environment = []string{"DPKG_FRONTEND_LOCKED=true"} // dpkg(1): its caller has the lock.
	}
	if s.Write != "" {
		if err := os.WriteFile(s.Write, s.Contents, 0o644); err != nil {
			return err
		}
	}
	for _, file := range s.Remove {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if len(s.Command) == 0 {
		return nil
	}
	printed, err := output(ctx, s.Command, environment...)
	if err != nil || s.system.complaint == "" {
		return err
	}
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(line, s.system.complaint) {
			return fmt.Errorf("%s: %s", strings.Join(s.Command, " "), strings.TrimSpace(printed))
		}
	}
	return nil
}

// output runs a program with additional variables, and returns what it prints.
func output(ctx context.Context, command []string, environment ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(cmd.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// root is the certificate of an authority.
type root struct {
	name string // in stores
	pem  []byte
}

// readCertificate returns the root among the certificates of a PEM file, since stores have roots.
func readCertificate(text []byte) (root, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return root{}, errors.New("there is no certificate of a root authority in it")
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return root{}, fmt.Errorf("reading the certificate: %w", err)
		}
		if parsed.IsCA && bytes.Equal(parsed.RawSubject, parsed.RawIssuer) {
			sum := sha256.Sum256(block.Bytes)
			return root{"trellis-" + hex.EncodeToString(sum[:8]), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})}, nil
		}
	}
}

// Install plans how to put the root certificate of a PEM file into all stores. file is where programs can read it.
func Install(ctx context.Context, text []byte, file string) (*Plan, error) {
	c, err := readCertificate(text)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	bundle := ""
	if s, ok := systemStore(); ok {
		step := s.step()
		step.Write, step.Contents = s.file(c.name), c.pem
		p.Steps = append(p.Steps, step)
		if bundle = s.bundle; step.Obstacle == "" {
			file = step.Write
		}
	} else if runtime.GOOS == "darwin" {
		p.Notes = append(p.Notes, fmt.Sprintf("macOS: sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain %s", file))
	} else {
		p.Notes = append(p.Notes, "no store of the system is known here; its documentation says how an authority is added")
	}
	for _, j := range javas() {
		if j.ofSystem {
			p.Notes = append(p.Notes, fmt.Sprintf("Java (%s) takes the system's store", j.cacerts))
			continue
		}
		step := Step{Store: j.store(), Obstacle: j.obstacle(), Command: j.command("-importcert", "-noprompt", "-alias", c.name, "-file", file)}
		if step.Obstacle == "" && j.has(ctx, c.name) {
			step.Command = nil
		}
		p.Steps = append(p.Steps, step)
	}
	for _, n := range nssStores() {
		p.Steps = append(p.Steps, Step{Store: n.store(), Obstacle: n.obstacle(), Command: n.command("-A", "-t", "C,,", "-n", c.name, "-i", file)})
	}
	p.Notes = append(p.Notes, "Node.js has its own list of authorities: export NODE_EXTRA_CA_CERTS="+file)
	if bundle != "" {
		p.Notes = append(p.Notes, fmt.Sprintf("so have Python's requests and boto3: export REQUESTS_CA_BUNDLE=%s AWS_CA_BUNDLE=%[1]s", bundle))
	}
	return p, nil
}

// Uninstall plans how to remove everything that Install has put into stores.
func Uninstall(ctx context.Context) *Plan {
	p := &Plan{}
	if s, ok := systemStore(); ok {
		if files := s.ours(); len(files) > 0 {
			step := s.step(s.afterRemoval...)
			step.Remove = files
			p.Steps = append(p.Steps, step)
		}
	} else if runtime.GOOS == "darwin" {
		p.Notes = append(p.Notes, "macOS: sudo security delete-certificate -t -c NAME /Library/Keychains/System.keychain, with the NAME that security find-certificate -a -c 'Trellis local authority' shows")
	}
	for _, j := range javas() {
		for _, name := range j.ours(ctx) {
			p.Steps = append(p.Steps, Step{Store: j.store(), Obstacle: j.obstacle(), Command: j.command("-delete", "-alias", name)})
		}
	}
	for _, n := range nssStores() {
		for _, name := range n.ours(ctx) {
			p.Steps = append(p.Steps, Step{Store: n.store(), Obstacle: n.obstacle(), Command: n.command("-D", "-n", name)})
		}
	}
	return p
}

// names returns the names of this package's certificates in what a program has printed. Debian copies those of the system's store
// into Java's under names of its own, and does not remove them.
func names(printed string) []string {
	return regexp.MustCompile(`(?m)^(debian:)?`+nameOf+`(\.pem)?\b`).FindAllString(printed, -1)
}
