package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSameNameGetsTheSameCertificate(t *testing.T) {
	s := NewStore(Config{Authority: openAuthority(t, t.TempDir())})
	got := make([]*tls.Certificate, 8)
	var asking sync.WaitGroup
	for i := range got {
		asking.Go(func() {
			var err error
			if got[i], err = s.Certificate("svc-1.lattice.test", ""); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	for _, c := range got {
		if c != got[0] {
			t.Fatal("one name has two certificates")
		}
	}
	other, err := s.Certificate("svc-2.lattice.test", "")
	if err != nil || other == got[0] {
		t.Fatalf("another name has the same certificate, or error %v", err)
	}
}

func TestCertificatesAreRenewedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := openAuthority(t, t.TempDir())
		s := NewStore(Config{Authority: a})
		var last *tls.Certificate
		made := 0
		for range 200 { // days
			got, err := s.Certificate("svc-1.lattice.test", "")
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(got.Leaf.NotAfter); left < issuedLife/3 {
				t.Fatalf("only %v are left", left)
			}
			if got != last {
				last = got
				made++
			}
			time.Sleep(24 * time.Hour)
		}
		if made < 3 || made > 4 {
			t.Fatalf("%d certificates were made in 200 days, want 3 or 4", made)
		}
	})
}

func TestFailureToIssueIsNotRemembered(t *testing.T) {
	fail := true
	c := newCache(func(string) (*tls.Certificate, error) {
		if fail {
			return nil, errors.New("no entropy")
		}
		return openAuthority(t, t.TempDir()).issue("a.test")
	})
	if _, err := c.get("a.test"); err == nil {
		t.Fatal("the failure to issue is not returned")
	}
	fail = false
	if _, err := c.get("a.test"); err != nil {
		t.Fatal(err)
	}
}

func TestKeptCertificatesAreBounded(t *testing.T) {
	made := map[string]int{}
	certificate, err := openAuthority(t, t.TempDir()).issue("a.test")
	if err != nil {
		t.Fatal(err)
	}
	c := newCache(func(name string) (*tls.Certificate, error) { made[name]++; return certificate, nil })
	ask := func(name string) {
		if _, err := c.get(name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 * maxIssued {
		ask(fmt.Sprintf("svc-%d.test", i))
		ask("busy.test")
	}
	if kept := c.recent.Len(); kept != maxIssued || len(c.byName) != kept {
		t.Fatalf("%d and %d certificates are kept, want %d", kept, len(c.byName), maxIssued)
	}
	if made["busy.test"] != 1 {
		t.Fatalf("the name that is in use was made %d times", made["busy.test"])
	}
	ask("svc-0.test")
	if made["svc-0.test"] != 2 {
		t.Fatal("a name that nobody has asked for in a long time was kept")
	}
}

// inventory is a store that knows one certificate.
type inventory struct {
	t     *testing.T
	known *tls.Certificate
	store *Store
	log   bytes.Buffer
}

const siteARN = "arn:aws:acm:us-west-2:111122223333:certificate/1"

func newInventory(t *testing.T) *inventory {
	t.Helper()
	i := &inventory{t: t}
	i.store = NewStore(Config{
		Authority: openAuthority(t, t.TempDir()),
		Known:     func(arn string) (*tls.Certificate, bool) { return i.known, i.known != nil && arn == siteARN },
		Log:       slog.New(slog.NewTextHandler(&i.log, nil)),
	})
	return i
}

// certificate returns what is served for shop.test.
func (i *inventory) certificate(arn string) *tls.Certificate {
	i.t.Helper()
	got, err := i.store.Certificate("shop.test", arn)
	if err != nil {
		i.t.Fatal(err)
	}
	return got
}

func TestCertificateOfTheInventoryIsServed(t *testing.T) {
	i := newInventory(t)
	for range 2 { // The second certificate replaces the first.
		i.known = site(t, "shop.test")
		if i.certificate(siteARN) != i.known {
			t.Fatal("the certificate of the inventory is not served")
		}
	}
	if i.certificate("") == i.known {
		t.Fatal("a name without an ARN has the certificate too")
	}
	if i.log.Len() > 0 {
		t.Fatalf("log:\n%s", i.log.String())
	}
}

//
func TestLocalAuthorityStandsInForAnUnknownCertificate(t *testing.T) {
	i := newInventory(t)
	if err := verify(t, i.certificate(siteARN), "shop.test", i.store.cfg.Authority.PEM()); err != nil {
		t.Fatal(err)
	}
}

//
func TestLocalAuthorityStandsInForACertificateWithoutAPrivateKey(t *testing.T) {
	i := newInventory(t)
	for _, test := range []struct {
		names   []string
		warning int
	}{{[]string{"*.test"}, 0}, {[]string{"other.test"}, 1}} {
		i.known = &tls.Certificate{Leaf: &x509.Certificate{DNSNames: test.names}}
		for range 2 {
			if err := verify(t, i.certificate(siteARN), "shop.test", i.store.cfg.Authority.PEM()); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(i.log.String(), "clients will refuse the certificate"); got != test.warning {
			t.Errorf("%v: %d warnings, want %d", test.names, got, test.warning)
		}
	}
}

func TestCertificateThatClientsWillRefuseIsLoggedOnce(t *testing.T) {
	i := newInventory(t)
	i.known = site(t, "other.test")
	for range 3 {
		if i.certificate(siteARN) != i.known {
			t.Fatal("another certificate is served")
		}
	}
	if got := strings.Count(i.log.String(), "clients will refuse the certificate"); got != 1 {
		t.Fatalf("log:\n%s", i.log.String())
	}
}
