package trust

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trellis/internal/certificate"
)

func TestOnlyRootsAreInstalled(t *testing.T) {
	authority, err := certificate.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCertificate(authority.PEM())
	if err != nil || !bytes.Equal(c.pem, authority.PEM()) || len(names(c.name)) != 1 {
		t.Errorf("the authority is read as %+v, %v; want its PEM and a name of ours", c, err)
	}
	for _, text := range []string{"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if c, err := readCertificate([]byte(text)); err == nil {
			t.Errorf("%q is the certificate %+v", text, c)
		}
	}
}

func TestNamesOfOthersAreLeftAlone(t *testing.T) {
	printed := "Certificate Nickname\n\ntrellis-0123456789abcdef   C,,\ntrellis-mine   C,,\nDigiCert trellis-0123456789abcdef  C,,\ntrellis-00000000000000ff, Nov 28, 2026, trustedCertEntry,\ndebian:trellis-00000000000000fe.pem, Nov 28, 2026, trustedCertEntry,\n"
	if got, want := names(printed), []string{"trellis-0123456789abcdef", "trellis-00000000000000ff", "debian:trellis-00000000000000fe.pem"}; !slices.Equal(got, want) {
		t.Errorf("the names are %q, want %q", got, want)
	}
	directory := t.TempDir()
	for _, name := range []string{"trellis-0123456789abcdef.crt", "trellis-mine.crt", "other.crt"} {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := system{directory: directory, extension: ".crt"}
	if got := s.ours(); len(got) != 1 || filepath.Base(got[0]) != "trellis-0123456789abcdef.crt" {
		t.Errorf("our files are %q, want trellis-0123456789abcdef.crt", got)
	}
}

func TestFailedStepDoesNotStopTheOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "written")
	p := Plan{Steps: []Step{
		{Store: "first", Command: []string{"false"}},
		{Store: "second", Write: file, Contents: []byte("x")},
		{Store: "fourth", Command: []string{"echo", "done.\nE: a hook exited with code 2."}, system: system{complaint: "E: "}},
		{Store: "fifth", Command: []string{"echo", "FINE: done."}, system: system{complaint: "E: "}},
		{Store: "third", Write: file + "-not", Obstacle: "it cannot be"},
	}}
	err := p.Run(context.Background(), io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "first: false: exit status 1") || !strings.Contains(err.Error(), "fourth: echo") || !strings.Contains(err.Error(), "E: a hook exited with code 2.") ||
		strings.Contains(err.Error(), "second") || strings.Contains(err.Error(), "fifth") {
		t.Errorf("error %v, want the first and the fourth step alone to fail", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file + "-not"); err == nil {
		t.Error("a step with an obstacle was done")
	}
	var shown strings.Builder
	if p.Show(&shown); p.Possible() != 4 || !strings.Contains(shown.String(), "third:\n  write "+file+"-not\n  not done: it cannot be\n") {
		t.Errorf("the plan is shown as\n%s\nwith %d steps that are possible, want 4, and why the third is not done", shown.String(), p.Possible())
	}
}
