// Package outboundtest makes certificates of targets for tests: those that Go does not make, but other programs do.
package outboundtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"
)

// Certificate returns a self-signed certificate, changed by edits, with an ECDSA key.
func Certificate(t testing.TB, edits ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{sign(t, key.Public(), key, edits)}, PrivateKey: key}
}

// RSACertificate returns a certificate with an RSA key.
func RSACertificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{sign(t, key.Public(), key, nil)}, PrivateKey: key}
}

func sign(t testing.TB, public, private any, edits []func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "target"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	for _, edit := range edits {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// WithNegativeSerial returns a certificate whose serial number is -1.
func WithNegativeSerial(t testing.TB) tls.Certificate {
	t.Helper()
	certificate := Certificate(t)
	// The version, 3, and the serial number, 1: nobody looks at the signature.
	before, after := []byte{0xa0, 3, 2, 1, 2, 2, 1, 1}, []byte{0xa0, 3, 2, 1, 2, 2, 1, 0xff}
	der := bytes.Replace(certificate.Certificate[0], before, after, 1)
	if bytes.Equal(der, certificate.Certificate[0]) {
		t.Fatal("the certificate has no serial number of 1")
	}
	certificate.Certificate[0] = der
	return certificate
}

// WithMalformedURI returns a certificate that has an alternative name which is not a URI, though it says so.
func WithMalformedURI(t testing.TB) tls.Certificate {
	t.Helper()
	const uniformResourceIdentifier = 6 // RFC 5280 4.2.1.6
	names, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: uniformResourceIdentifier, Bytes: []byte("http://[no address/%zz")}})
	if err != nil {
		t.Fatal(err)
	}
	return Certificate(t, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: names}}
	})
}
