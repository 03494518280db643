package stories_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// inventoryARNs are the certificates of an inventory.
var inventoryARNs = [...]string{
	"arn:aws:acm:us-west-2:000000000000:certificate/12345678-1234-1234-1234-123456789012",
	"arn:aws:acm:us-west-2:000000000000:certificate/87654321-4321-4321-4321-210987654321",
}

// inventory is a folder with an inventory file of certificates for a host.
type inventory struct {
	dir, host string
	versions  [len(inventoryARNs)]int // how often each certificate has been made
}

func newInventory(t *testing.T, host string) *inventory {
	t.Helper()
	n := &inventory{dir: t.TempDir(), host: host}
	for i := range inventoryARNs {
		n.writePair(t, i)
	}
	n.write(t)
	return n
}

// file returns the path of the inventory file.
func (n *inventory) file() string { return filepath.Join(n.dir, "inventory.yaml") }

// pair returns the paths of a certificate and of its key.
func (n *inventory) pair(number int) (certificate, key string) {
	name := fmt.Sprintf("%d-%d", number, n.versions[number])
	return filepath.Join(n.dir, "certificate-"+name+".pem"), filepath.Join(n.dir, "key-"+name+".pem")
}

// replace makes one of the certificates again. The pair has new files, so that a process that reads the inventory at any
// time, such as at its start, finds two that belong together.
func (n *inventory) replace(t *testing.T, number int) {
	t.Helper()
	n.versions[number]++
	n.writePair(t, number)
	n.write(t)
}

// write replaces the inventory file as a whole.
func (n *inventory) write(t *testing.T) {
	t.Helper()
	text := []byte("certificates:\n")
	for i, arn := range inventoryARNs {
		certificate, key := n.pair(i)
		text = fmt.Appendf(text, "  - arn: %s\n    certificate: %s\n    key: %s\n", arn, filepath.Base(certificate), filepath.Base(key))
	}
	if err := errors.Join(os.WriteFile(n.file()+".new", text, 0o600), os.Rename(n.file()+".new", n.file())); err != nil {
		t.Fatal(err)
	}
}

func (n *inventory) writePair(t *testing.T, number int) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{n.host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificateFile, keyFile := n.pair(number)
	if err := errors.Join(
		os.WriteFile(certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
}
