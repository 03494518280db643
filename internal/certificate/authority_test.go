package certificate

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientsThatTrustTheAuthorityTrustItsCertificates(t *testing.T) {
	a := openAuthority(t, t.TempDir())
	long := strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + ".test"
	for _, name := range []string{"svc-1.lattice.test", "my_svc.test", long} {
		certificate, err := a.issue(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(t, certificate, name, read(t, a.File())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := verify(t, certificate, "other.test", a.PEM()); err == nil {
			t.Errorf("the certificate for %s is good for other.test too", name)
		}
		if err := verify(t, certificate, name, openAuthority(t, t.TempDir()).PEM()); err == nil {
			t.Errorf("a client that trusts another authority trusts the certificate for %s", name)
		}
	}
}

func TestCertificateForAnAddressIsForTheLoopbackToo(t *testing.T) {
	a := openAuthority(t, t.TempDir())
	for _, name := range []string{"192.0.2.7", "2001:db8::7", "127.0.0.1"} {
		certificate, err := a.issue(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, address := range []string{name, "127.0.0.1", "::1"} {
			if err := verify(t, certificate, address, a.PEM()); err != nil {
				t.Errorf("the certificate for %s: %v", name, err)
			}
		}
		if err := verify(t, certificate, "192.0.2.8", a.PEM()); err == nil {
			t.Errorf("the certificate for %s is good for another address", name)
		}
	}
}

func TestAuthorityOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "below")
	before := openAuthority(t, dir)
	certificate, err := openAuthority(t, dir).issue("svc-1.lattice.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, certificate, "svc-1.lattice.test", before.PEM()); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheOwnerCanReadTheKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	openAuthority(t, dir)
	for name, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, "ca-key.pem"): 0o600, filepath.Join(dir, "ca.pem"): 0o644} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("the directory has %v, error %v; want two files", left, err)
	}
}

func TestProcessesThatStartTogetherShareTheAuthority(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		opened := make([]*Authority, 8)
		var opening sync.WaitGroup
		for i := range opened {
			opening.Go(func() {
				var err error
				if opened[i], err = OpenAuthority(dir); err != nil {
					t.Error(err)
				}
			})
		}
		opening.Wait()
		if t.Failed() {
			return
		}
		for _, a := range opened {
			if !bytes.Equal(a.PEM(), opened[0].PEM()) {
				t.Fatal("two processes have different authorities")
			}
		}
	}
}

func TestBrokenAuthorityIsNotReplaced(t *testing.T) {
	other := openAuthority(t, t.TempDir()).PEM()
	for name, c := range map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"key lost":       {func(dir string) error { return os.Remove(filepath.Join(dir, "ca-key.pem")) }, "does not; put the key back"},
		"key of another": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), other, 0o600) }, "does not belong to the key"},
		"no certificate": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca.pem"), nil, 0o600) }, "no certificate"},
		"garbage":        {func(dir string) error { return os.WriteFile(filepath.Join(dir, "ca-key.pem"), []byte("x"), 0o600) }, "no PEM block with a private key"},
		"key in the place": {func(dir string) error {
			return os.Rename(filepath.Join(dir, "ca-key.pem"), filepath.Join(dir, "ca.pem"))
		}, "does not; put the key back"},
		"truncated key":        {func(dir string) error { return os.Truncate(filepath.Join(dir, "ca-key.pem"), 40) }, "no PEM block with a private key"},
		"certificate with key": {func(dir string) error { return join(dir, "ca.pem", "ca-key.pem") }, "only certificates may be in it"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			openAuthority(t, dir)
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenAuthority(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// join appends a file to another.
func join(dir, to, from string) error {
	text, err := os.ReadFile(filepath.Join(dir, from))
	if err != nil {
		return err
	}
	head, err := os.ReadFile(filepath.Join(dir, to))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, to), append(head, text...), 0o600)
}

func TestAuthorityIsRenewedUnderItsOldKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		old := openAuthority(t, dir)
		time.Sleep(authorityLife - authorityRenewal - time.Hour)
		if same := openAuthority(t, dir); !bytes.Equal(same.PEM(), old.PEM()) {
			t.Fatal("the authority was renewed too early")
		}
		time.Sleep(2 * time.Hour)
		renewed := openAuthority(t, dir)
		if bytes.Equal(renewed.PEM(), old.PEM()) {
			t.Fatal("the authority was not renewed")
		}
		certificate, err := renewed.issue("svc-1.lattice.test")
		if err != nil {
			t.Fatal(err)
		}
		for when, trusted := range map[string]*Authority{"before": old, "after": renewed} {
			if err := verify(t, certificate, "svc-1.lattice.test", trusted.PEM()); err != nil {
				t.Errorf("a client that trusts the authority from %s the renewal: %v", when, err)
			}
		}
	})
}

func TestCertificatesEndWithTheAuthorityAtTheLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAuthority(t, t.TempDir())
		time.Sleep(authorityLife - issuedLife/2)
		certificate, err := a.issue("svc-1.lattice.test")
		if err != nil {
			t.Fatal(err)
		}
		if end := certificate.Leaf.NotAfter; end.After(a.certificate.NotAfter) {
			t.Fatalf("the certificate ends %v, its authority %v", end, a.certificate.NotAfter)
		}
	})
}

func TestIntermediateAuthorityIsSentAlong(t *testing.T) {
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	}
	rootText, _, root, rootKey := signed(t, ca("root"), nil, nil)
	between, key, _, _ := signed(t, ca("between"), root, rootKey)
	for name, text := range map[string][]byte{"alone": between, "with its root": append(bytes.Clone(between), rootText...)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "ca.pem"), text)
			write(t, filepath.Join(dir, "ca-key.pem"), key)
			a := openAuthority(t, dir)
			certificate, err := a.issue("svc-1.lattice.test")
			if err != nil {
				t.Fatal(err)
			}
			if len(certificate.Certificate) != 2 {
				t.Errorf("%d certificates are sent, want 2", len(certificate.Certificate))
			}
			if err := verify(t, certificate, "svc-1.lattice.test", rootText); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(read(t, a.File()), text) {
				t.Error("the operator's file was changed")
			}
		})
	}
}
