package proxy

import (
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"slices"
)

// The cipher suites of TLS 1.2 that HTTP/2 does not prohibit (RFC 9113 9.2.2 and appendix A), by the key of the
// certificate.
var (
	http2SuitesForRSA   = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	http2SuitesForECDSA = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
)

// keepHTTP2FromOldSuites makes sure that HTTP/2 is agreed on only with cipher suites that it allows. A client that has
// no other gets HTTP/1.1. crypto/tls chooses the protocol before the suite, and a resumed session brings its
// suite with it, so these clients are served by another configuration.
func keepHTTP2FromOldSuites(cfg *tls.Config) *tls.Config {
	without, with := cfg.Clone(), cfg.Clone()
	without.NextProtos = slices.DeleteFunc(slices.Clone(cfg.NextProtos), isH2)
	with.CipherSuites = slices.Concat(http2SuitesForECDSA, http2SuitesForRSA)
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if !slices.ContainsFunc(hello.SupportedProtos, isH2) || slices.Contains(hello.SupportedVersions, tls.VersionTLS13) {
			return nil, nil
		}
		certificate, err := cfg.GetCertificate(hello)
		if err != nil {
			return nil, err
		}
		suites := http2SuitesForECDSA
		if key, ok := certificate.PrivateKey.(crypto.Signer); ok {
			if _, isRSA := key.Public().(*rsa.PublicKey); isRSA {
				suites = http2SuitesForRSA
			}
		}
		for _, suite := range suites {
			if slices.Contains(hello.CipherSuites, suite) {
				return with, nil
			}
		}
		return without, nil
	}
	return cfg
}

func isH2(protocol string) bool { return protocol == "h2" }
