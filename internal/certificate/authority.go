package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The names of an authority's files.
const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca-key.pem"
)

const (
	//
	authorityLife = 10 * 365 * 24 * time.Hour
	// authorityRenewal is how long before its end the authority's certificate is replaced at the next start.
	authorityRenewal = 365 * 24 * time.Hour
	issuedLife       = 90 * 24 * time.Hour
	// backdating is for clients whose clocks are slow.
	backdating = time.Hour
)

// Authority is a local certificate authority. Clients that trust it reach every service by HTTPS.
type Authority struct {
	file        string
	certificate *x509.Certificate
	key         crypto.Signer
	// chain is what a server must send besides the certificate itself: nothing, unless the operator has put an intermediate
	// authority into the directory.
	chain [][]byte
	pem   []byte
}

// OpenAuthority opens the authority in a directory: ca.pem and ca-key.pem. It makes what is missing, the key readable by its
// owner alone. Processes that do so at the same time end up with the same authority. The operator may put another authority
// there, root or intermediate.
func OpenAuthority(dir string) (*Authority, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the certificate authority: %w", err)
	}
	key, err := openKey(filepath.Join(dir, authorityKeyFile), filepath.Join(dir, authorityFile))
	if err != nil {
		return nil, fmt.Errorf("opening the key of the certificate authority: %w", err)
	}
	a := &Authority{file: filepath.Join(dir, authorityFile), key: key}
	if err := a.open(); err != nil {
		return nil, fmt.Errorf("opening the certificate authority: %w", err)
	}
	return a, nil
}

// File is where the authority's certificate is, for clients to trust.
func (a *Authority) File() string { return a.file }

// Expires returns when the authority's certificate expires.
func (a *Authority) Expires() time.Time { return a.certificate.NotAfter }

// PEM is what is in that file. It must not be changed.
func (a *Authority) PEM() []byte { return a.pem }

// open reads the authority's certificate. One that is missing or about to expire is made from the key.
func (a *Authority) open() error {
	err := a.readCertificate()
	if errors.Is(err, fs.ErrNotExist) {
		var name [4]byte
		rand.Read(name[:])
		// The number tells apart the authorities that a client may trust.
		subject := pkix.Name{CommonName: "Trellis local authority " + hex.EncodeToString(name[:])}
		if err := a.writeCertificate(subject, publish); err != nil {
			return err
		}
		return a.readCertificate()
	}
	if err != nil {
		return err
	}
	if len(a.chain) == 0 && time.Until(a.certificate.NotAfter) < authorityRenewal {
		// The new certificate has the name and the key of the old one, so certificates signed under either can be checked with
		// both.
		if err := a.writeCertificate(a.certificate.Subject, replace); err != nil {
			return err
		}
		return a.readCertificate()
	}
	return nil
}

func (a *Authority) readCertificate() error {
	text, err := os.ReadFile(a.file)
	if err != nil {
		return err
	}
	var certificates []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("%s has a PEM block of type %q; only certificates may be in it", a.file, block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("reading %s: %w", a.file, err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return fmt.Errorf("%s has no certificate", a.file)
	}
	first := certificates[0]
	if !first.IsCA {
		return fmt.Errorf("the certificate in %s is not that of an authority", a.file)
	}
	if public, ok := a.key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(first.PublicKey) {
		return fmt.Errorf("the certificate in %s does not belong to the key in %s", a.file, authorityKeyFile)
	}
	a.certificate, a.pem, a.chain = first, text, nil
	for _, certificate := range certificates {
		if !bytes.Equal(certificate.RawSubject, certificate.RawIssuer) { // Clients already have the root.
			a.chain = append(a.chain, certificate.Raw)
		}
	}
	return nil
}

// writeCertificate makes the authority's own certificate.
func (a *Authority) writeCertificate(subject pkix.Name, write func(file string, contents []byte, mode fs.FileMode) error) error {
	now := time.Now()
	template := &x509.Certificate{
		Subject:               subject,
		NotBefore:             now.Add(-backdating),
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	return write(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}

// issue makes a certificate for a host name, or for an address. A certificate for an address also names those of the loopback:
// clients use them to reach a container's port that is published on their machine.
func (a *Authority) issue(name string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for %s: %w", name, err)
	}
	now := time.Now()
	template := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Trellis"}},
		NotBefore:   now.Add(-backdating),
		NotAfter:    now.Add(issuedLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if address := net.ParseIP(name); address != nil {
		template.IPAddresses = []net.IP{address, net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	} else {
		template.DNSNames = []string{name}
	}
	if len(name) <= 64 { // RFC 5280, appendix A: ub-common-name. Clients look at the alternative names.
		template.Subject.CommonName = name
	}
	if template.NotAfter.After(a.certificate.NotAfter) {
		template.NotAfter = a.certificate.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making a certificate for %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: append([][]byte{der}, a.chain...), PrivateKey: key, Leaf: leaf}, nil
}

// openKey reads the key of the authority, or makes it.
func openKey(keyFile, certFile string) (crypto.Signer, error) {
	_, statErr := os.Stat(certFile) // This check comes before the key is read: a process that makes both makes the key first.
	key, err := readKey(keyFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if statErr == nil {
		return nil, fmt.Errorf("%s exists, but its key %s does not; put the key back, or delete the certificate to have another authority made", certFile, keyFile)
	}
	fresh, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(fresh)
	if err != nil {
		return nil, err
	}
	if err := publish(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return readKey(keyFile) // Another process may have made it.
}

func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no PEM block with a private key", file)
	}
	var key any
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key in %s cannot sign", file)
	}
	return signer, nil
}

// publish creates a file with all of its content at once. A file that is there already stays.
func publish(file string, contents []byte, mode fs.FileMode) error {
	draft, err := writeDraft(file, contents, mode)
	if err != nil {
		return err
	}
	defer os.Remove(draft)
	if err := os.Link(draft, file); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// replace is like publish, but replaces a file that is there.
func replace(file string, contents []byte, mode fs.FileMode) error {
	draft, err := writeDraft(file, contents, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(draft, file); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return nil
}

func writeDraft(file string, contents []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(contents)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
