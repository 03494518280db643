package outbound

import "crypto/tls"

// TLSConfig returns the configuration of connections to targets on which the protocol is spoken, for traffic and for
// health checks alike. The certificates of targets are not verified (UG target-groups), and no server name is sent:
// targets are addresses, which cannot stand there (RFC 6066 3; A-492).
func TLSConfig(protocol string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{protocol},
		// To targets AWS speaks TLS as its listeners do (UG target-groups), and some that were made for it have nothing
		// but its suites with RSA key exchange (UG https-listeners), which crypto/tls leaves out unless they are listed.
		// The order in which suites are offered is crypto/tls's, and these come last in it. Those of TLS 1.3 are not a
		// choice.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
			tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA,
		},
	}
}
