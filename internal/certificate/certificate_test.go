package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
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
			t.Fatalf("%d certificates in 200 days", made)
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
		t.Fatal("no error")
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

func TestCertificateFromTheInventoryIsServed(t *testing.T) {
	f := newFiles(t)
	certificate, key := site(t, "shop.test")
	f.replace(certificate, key)
	if !is(f.certificate(), certificate) {
		t.Fatal("another certificate is served")
	}
	generated, err := f.store.Certificate("svc-1.lattice.test", "")
	if err != nil || is(generated, certificate) {
		t.Fatalf("the generated name has the same certificate, or error %v", err)
	}
}

//
func TestLocalAuthorityStandsInForMissingFiles(t *testing.T) {
	f := newFiles(t)
	trusted := f.store.cfg.Authority.PEM()
	if err := verify(t, f.certificate(), "shop.test", trusted); err != nil {
		t.Fatalf("files are missing: %v", err)
	}
	if got := strings.Count(f.log.String(), "level=ERROR"); got != 1 {
		t.Fatalf("%d errors were logged, want 1:\n%s", got, f.log.String())
	}
	other, err := f.store.Certificate("shop.test", "arn:aws:acm:us-west-2:111122223333:certificate/unknown")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(t, other, "shop.test", trusted); err != nil {
		t.Fatalf("ARN is unknown: %v", err)
	}
}

func TestChangedFilesAreServedSoon(t *testing.T) {
	f := newFiles(t)
	first, firstKey := site(t, "shop.test")
	second, secondKey := site(t, "shop.test")
	f.replace(first, firstKey)
	synctest.Test(t, func(t *testing.T) {
		before := f.certificate()
		if !is(before, first) {
			t.Fatal("another certificate is served")
		}
		time.Sleep(lookInterval)
		if f.certificate() != before {
			t.Fatal("files that have not changed were read again")
		}
		f.replace(second, secondKey)
		if f.certificate() != before {
			t.Fatal("the files are looked at for every handshake")
		}
		time.Sleep(lookInterval)
		if !is(f.certificate(), second) {
			t.Fatal("the new certificate is not served")
		}
	})
}

func TestHalfReplacedFilesKeepTheOldCertificate(t *testing.T) {
	f := newFiles(t)
	first, firstKey := site(t, "shop.test")
	second, secondKey := site(t, "shop.test")
	f.replace(first, firstKey)
	synctest.Test(t, func(t *testing.T) {
		f.certificate()
		write(t, f.certFile, second)
		for range 3 {
			time.Sleep(lookInterval)
			if !is(f.certificate(), first) {
				t.Fatal("another certificate is served while only one file is new")
			}
		}
		if got := strings.Count(f.log.String(), "level=ERROR"); got != 1 {
			t.Fatalf("%d errors were logged, want 1:\n%s", got, f.log.String())
		}
		write(t, f.keyFile, secondKey)
		time.Sleep(lookInterval)
		if !is(f.certificate(), second) {
			t.Fatal("the new certificate is not served")
		}
		if err := os.Remove(f.keyFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookInterval)
		if !is(f.certificate(), second) {
			t.Fatal("the certificate went with its file")
		}
	})
}

func TestCertificateThatClientsWillRefuseIsLogged(t *testing.T) {
	f := newFiles(t)
	certificate, key := site(t, "other.test")
	f.replace(certificate, key)
	if !is(f.certificate(), certificate) {
		t.Fatal("another certificate is served")
	}
	if !strings.Contains(f.log.String(), "clients will refuse the certificate") {
		t.Fatalf("log:\n%s", f.log.String())
	}
}

func TestInventoryMayMoveTheFiles(t *testing.T) {
	f := newFiles(t)
	first, firstKey := site(t, "shop.test")
	f.replace(first, firstKey)
	f.certificate()
	f.certFile, f.keyFile = f.certFile+".new", f.keyFile+".new"
	second, secondKey := site(t, "shop.test")
	f.replace(second, secondKey)
	if !is(f.certificate(), second) {
		t.Fatal("the certificate in the new place is not served")
	}
}
