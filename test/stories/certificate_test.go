package stories_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// inventoryARNs are the certificates of writeInventory.
var inventoryARNs = [...]string{
	"arn:aws:acm:us-west-2:000000000000:certificate/12345678-1234-1234-1234-123456789012",
	"arn:aws:acm:us-west-2:000000000000:certificate/87654321-4321-4321-4321-210987654321",
}

// writeInventory writes an inventory file with certificates for a host.
func writeInventory(t *testing.T, dir, host string) {
	t.Helper()
	for i := range inventoryARNs {
		writeCertificate(t, dir, i, host)
	}
}

// writeCertificate writes the PEM files of one of the certificates anew, and then the inventory file, each of which is
// replaced as a whole.
func writeCertificate(t *testing.T, dir string, number int, host string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{host},
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
	inventory := []byte("certificates:\n")
	for i, arn := range inventoryARNs {
		inventory = fmt.Appendf(inventory, "  - arn: %s\n    certificate: certificate-%d.pem\n    key: key-%[2]d.pem\n", arn, i)
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{fmt.Sprintf("certificate-%d.pem", number), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})},
		{fmt.Sprintf("key-%d.pem", number), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encodedKey})},
		{"inventory.yaml", inventory},
	} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path+".new", file.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}
