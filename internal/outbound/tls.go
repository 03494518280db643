package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
)

// TLSConfig returns the configuration of connections to targets that speak the protocol, for traffic and for health checks
// alike. The certificates of targets are not verified (UG target-groups), and no server name is sent: targets are
// addresses, which a server name cannot be (RFC 6066 3; A-492).
func TLSConfig(protocol string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{protocol},
		// AWS speaks TLS to targets as its listeners do (UG target-groups). Some targets made for AWS support only its suites
		// with RSA key exchange (UG https-listeners), which crypto/tls leaves out unless they are listed. crypto/tls orders
		// the suites, and puts these last. The suites of TLS 1.3 cannot be chosen.
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

// Secure makes the TLS handshake with a target. It fails if HTTP/2 is needed and the target does not agree to it; a target
// that agrees to no protocol speaks HTTP/1.1.
func Secure(ctx context.Context, conn net.Conn, config *tls.Config) (*tls.Conn, error) {
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		if isAboutCertificate(ctx, secured, err) {
			err = &CertificateError{err}
		}
		return nil, err
	}
	if config.NextProtos[0] == "h2" && secured.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, errNotHTTP2
	}
	return secured, nil
}

var errNotHTTP2 = errors.New("the target does not agree to HTTP/2 (ALPN)")

// CertificateError says that crypto/tls could not parse a target's certificate. It verifies none, but parses all of them,
// and refuses malformed ones whatever its configuration says (golang/go#65829). The godebug line of go.mod lets negative
// serial numbers pass.
type CertificateError struct{ Err error }

func (e *CertificateError) Error() string {
	return "the target's certificate cannot be used: " + e.Err.Error() + "; give the target another one, or pass TLS through to it (TLS_PASSTHROUGH)"
}
func (e *CertificateError) Unwrap() error { return e.Err }

// isAboutCertificate reports whether a handshake failed after the target's choice of version and before its certificate was
// accepted, though the connection is up and the target has not refused: crypto/tls has no type for that error.
func isAboutCertificate(ctx context.Context, conn *tls.Conn, err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok || ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	state := conn.ConnectionState()
	return state.Version != 0 && len(state.PeerCertificates) == 0
}
