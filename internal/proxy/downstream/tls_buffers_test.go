//go:build go1.26 && !go1.27

package downstream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// selfSigned returns a certificate for a key.
func selfSigned(t *testing.T, public, private any) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// everySuite returns the cipher suites that crypto/tls knows, by the version of TLS.
func everySuite() map[uint16][]uint16 {
	suites := map[uint16][]uint16{}
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, suite := range list {
			version := suite.SupportedVersions[len(suite.SupportedVersions)-1]
			suites[version] = append(suites[version], suite.ID)
		}
	}
	return suites
}

// An exchange over TLS must not notice that the buffers are given up, whatever the cipher suite does with them. Package
// crypto/tls chooses the suite of TLS 1.3 itself, by what the machine is good at, so the test takes any.
func TestTLSGoesOnWithoutItsBuffers(t *testing.T) {
	if len(tlsBuffers) != 2 {
		t.Fatalf("%d of the buffers of tls.Conn have been found, want 2", len(tlsBuffers))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificates := []tls.Certificate{selfSigned(t, rsaKey.Public(), rsaKey), selfSigned(t, ecdsaKey.Public(), ecdsaKey)}
	run := func(t *testing.T, version uint16, suites []uint16) {
		cfg := &tls.Config{Certificates: certificates, CipherSuites: suites, MinVersion: version, MaxVersion: version, InsecureSkipVerify: true, ServerName: "a.test"}
		var kept, dropped string
		for _, drops := range []bool{false, true} {
			got, suite := converse(t, cfg, drops)
			if version != tls.VersionTLS13 && suite != suites[0] {
				t.Fatalf("the cipher suite is %s, want %s", tls.CipherSuiteName(suite), tls.CipherSuiteName(suites[0]))
			}
			if drops {
				dropped = got
			} else {
				kept = got
			}
		}
		if kept != dropped || kept == "" {
			t.Errorf("the server reads %d bytes with its buffers and %d without them, want the same and some", len(kept), len(dropped))
		}
	}
	for version, suites := range everySuite() {
		if version == tls.VersionTLS13 {
			t.Run("TLS 1.3", func(t *testing.T) { run(t, version, nil) })
			continue
		}
		for _, suite := range suites {
			t.Run(tls.CipherSuiteName(suite), func(t *testing.T) { run(t, version, []uint16{suite}) })
		}
	}
}

// converse makes an exchange over TLS: the client sends records of many sizes, whole, in parts and several at once, and the
// server answers each with what it has read. It returns all that the server has read.
func converse(t *testing.T, cfg *tls.Config, drops bool) (read string, suite uint16) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	server, client := tls.Server(near, cfg), tls.Client(cut{far}, cfg)
	sizes := []int{1, 100, 5000, 16 << 10, 16<<10 + 1, 40_000, 3}
	failed := make(chan error, 1)
	go func() {
		failed <- func() error {
			for i, size := range sizes {
				sent := []byte(strings.Repeat(string(rune('a'+i)), size))
				if _, err := client.Write(sent); err != nil {
					return err
				}
				echo := make([]byte, size)
				if _, err := io.ReadFull(client, echo); err != nil {
					return err
				}
				if !bytes.Equal(echo, sent) {
					return io.ErrUnexpectedEOF
				}
			}
			return nil
		}()
	}()
	for _, size := range sizes {
		b := make([]byte, size)
		for n := 0; n < size; {
			if drops {
				dropBuffers(server)
			}
			m, err := server.Read(b[n:min(n+7000, size)])
			if n += m; err != nil {
				t.Fatal(err)
			}
		}
		if drops {
			dropBuffers(server)
			for _, name := range []string{"rawInput", "hand"} {
				field, _ := reflect.TypeFor[tls.Conn]().FieldByName(name)
				if buffer := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(server), field.Offset)); buffer.Cap() != 0 {
					t.Errorf("%s has %d bytes", name, buffer.Cap())
				}
			}
		}
		read += string(b)
		if _, err := server.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return read, server.ConnectionState().CipherSuite
}

// cut is a connection that sends in pieces, so that records arrive in parts.
type cut struct{ net.Conn }

func (c cut) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = c.Conn.Write(b[n:min(n+1000, len(b))])
		n += m
	}
	return n, err
}
