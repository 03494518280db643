package proxy

import (
	"crypto/tls"
	"strings"

	"trellis/internal/lattice"
	"trellis/internal/proxy/downstream"
	"trellis/internal/routing"
)

// newTLSConfig returns the configuration of all HTTPS listeners. What differs between them is the certificate. They
// share the keys of session tickets, which crypto/tls replaces every day: a session can be resumed under another name,
// but the name given then decides where the requests go (RFC 8446 4.6.1).
func (p *Proxy) newTLSConfig() *tls.Config {
	return keepHTTP2FromOldSuites(&tls.Config{
		MinVersion: tls.VersionTLS12,
		// The suites of AWS (UG https-listeners) with an ephemeral key, and the same for ECDSA. The suites of TLS 1.3
		// cannot be chosen.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		},
		NextProtos: []string{"h2", "http/1.1"}, // In this order of preference (UG https-listeners).
		// Dynamic sizes begin with small records, which means several writes for one response.
		DynamicRecordSizingDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			wire := hello.Conn.(*downstream.Wire)
			return p.certificate(wire.ServerName, wire.Service)
		},
	})
}

// certificate returns the certificate for a name that a client asked for.
func (p *Proxy) certificate(serverName string, service *routing.Service) (*tls.Certificate, error) {
	name := strings.ToLower(serverName)
	if name == lattice.CanonicalDomainName(service.CustomDomainName) {
		return p.cfg.Certificate(name, service.CertificateARN)
	}
	return p.cfg.Certificate(name, "")
}
