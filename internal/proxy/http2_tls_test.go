package proxy

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"testing"
	"time"
)

func TestHTTP2IsSpokenOnlyWithCipherSuitesThatItAllows(t *testing.T) {
	const (
		ecdsaCBC = tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
		ecdsaGCM = tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
		rsaCBC   = tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
		rsaGCM   = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	)
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	w.mu.Lock()
	w.custom = rsaCertificate(t, customHost)
	w.mu.Unlock()
	both := []string{"h2", "http/1.1"}
	for _, test := range []struct {
		name   string // what the certificate is for: that of host has an ECDSA key, that of customHost an RSA key
		suites []uint16
		offers []string
		want   string // "" when there is no handshake
	}{
		{host, []uint16{ecdsaCBC}, both, "http/1.1"},
		{host, []uint16{ecdsaCBC, ecdsaGCM}, both, "h2"},
		{host, []uint16{ecdsaCBC, rsaGCM}, both, "http/1.1"},
		{host, []uint16{ecdsaCBC}, []string{"h2"}, ""},
		{host, []uint16{ecdsaCBC}, []string{"http/1.1"}, "http/1.1"},
		{customHost, []uint16{rsaCBC}, both, "http/1.1"},
		{customHost, []uint16{rsaCBC, rsaGCM}, both, "h2"},
		{customHost, []uint16{rsaCBC, ecdsaGCM}, both, "http/1.1"},
	} {
		c, err := w.tls(&tls.Config{ServerName: test.name, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12,
			CipherSuites: test.suites, NextProtos: test.offers})
		if err != nil {
			if test.want != "" {
				t.Errorf("%s with %x: %v", test.name, test.suites, err)
			}
			continue
		}
		if state := c.tls.ConnectionState(); state.NegotiatedProtocol != test.want {
			t.Errorf("%s with %x: protocol %q, suite %x; want %q", test.name, test.suites, state.NegotiatedProtocol, state.CipherSuite, test.want)
		}
		if test.want == "http/1.1" {
			if got := c.get("/"); got.body != "ok" {
				t.Errorf("%s with %x: answer %v", test.name, test.suites, got.Response)
			}
		}
	}
}

// A session brings its cipher suite with it, but not the protocol that was spoken.
func TestSessionWithACipherSuiteThatHTTP2ProhibitsIsNotResumedForHTTP2(t *testing.T) {
	w := newSecureWorld(t)
	w.https(answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	cfg := w.client(host)
	cfg.MaxVersion = tls.VersionTLS12
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	cfg.NextProtos = []string{"http/1.1"}
	for i, want := range []struct {
		protocol string
		suite    uint16
		resumed  bool
	}{
		{"http/1.1", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, false},
		{"http/1.1", tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, true},
		{"h2", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
		{"h2", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, true},
	} {
		if want.protocol == "h2" {
			cfg.NextProtos = []string{"h2", "http/1.1"}
			cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		}
		c, err := w.tls(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.tls.ConnectionState(); got.NegotiatedProtocol != want.protocol || got.CipherSuite != want.suite || got.DidResume != want.resumed {
			t.Errorf("connection %d: %q, suite %x, resumed %v", i, got.NegotiatedProtocol, got.CipherSuite, got.DidResume)
		}
	}
}

// rsaCertificate returns a self-signed certificate with an RSA key.
func rsaCertificate(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(signed)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key, Leaf: leaf}
}
