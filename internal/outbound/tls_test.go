package outbound_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trellis/internal/outbound"
	"trellis/internal/outbound/outboundtest"
)

// handshake makes a handshake with a target and returns its ClientHello as the target saw it.
func handshake(t *testing.T, protocol string, target *tls.Config) (hello tls.ClientHelloInfo, state tls.ConnectionState, err error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target = target.Clone()
	target.GetConfigForClient = func(seen *tls.ClientHelloInfo) (*tls.Config, error) {
		hello = *seen
		return nil, nil
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		tls.Server(conn, target).Handshake()
	})
	defer func() {
		listener.Close()
		serving.Wait()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secured, err := outbound.Secure(ctx, conn, outbound.TLSConfig(protocol))
	if err != nil {
		return hello, state, err
	}
	return hello, secured.ConnectionState(), nil
}

func TestTargetsAreSentNoServerNameAndOldSuitesLast(t *testing.T) {
	for _, protocol := range []string{"h2", "http/1.1"} {
		hello, _, err := handshake(t, protocol, &tls.Config{Certificates: []tls.Certificate{outboundtest.Certificate(t)}, NextProtos: []string{protocol}})
		if err != nil {
			t.Fatal(err)
		}
		if hello.ServerName != "" {
			t.Errorf("%s: the server name is %q", protocol, hello.ServerName)
		}
		if !slices.Equal(hello.SupportedProtos, []string{protocol}) {
			t.Errorf("the protocols are %q", hello.SupportedProtos)
		}
		if want := []uint16{tls.VersionTLS13, tls.VersionTLS12}; !slices.Equal(hello.SupportedVersions, want) {
			t.Errorf("%s: the versions are %x, want %x", protocol, hello.SupportedVersions, want)
		}
		// Those of TLS 1.3 stand where they may: a target of TLS 1.2 does not see them.
		suites := slices.DeleteFunc(slices.Clone(hello.CipherSuites), func(id uint16) bool { return id>>8 == 0x13 })
		old := slices.IndexFunc(suites, func(id uint16) bool { return strings.HasPrefix(tls.CipherSuiteName(id), "TLS_RSA_") })
		want := []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA}
		if old < 0 || !slices.Equal(suites[old:], want) {
			t.Errorf("%s: the suites are %x, the last not %x", protocol, suites, want)
		}
	}
}

func TestTargetsWithOldSuitesCanBeReached(t *testing.T) {
	for _, suite := range []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA} {
		_, state, err := handshake(t, "http/1.1", &tls.Config{
			Certificates: []tls.Certificate{outboundtest.RSACertificate(t)}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}})
		if err != nil || state.CipherSuite != suite {
			t.Errorf("%s: %v", tls.CipherSuiteName(suite), err)
		}
	}
}

func TestSerialNumberOfATargetMayBeNegative(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"h2", "http/1.1"} {
			_, _, err := handshake(t, protocol, &tls.Config{
				Certificates: []tls.Certificate{outboundtest.WithNegativeSerial(t)}, MaxVersion: version, NextProtos: []string{protocol}})
			if err != nil {
				t.Errorf("%s, %s: %v", tls.VersionName(version), protocol, err)
			}
		}
	}
}

func TestMalformedCertificateIsNamedAsTheProblem(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		_, _, err := handshake(t, "http/1.1", &tls.Config{Certificates: []tls.Certificate{outboundtest.WithMalformedURI(t)}, MaxVersion: version})
		if _, ok := errors.AsType[*outbound.CertificateError](err); !ok || !strings.Contains(fmt.Sprint(err), "pass TLS through") {
			t.Errorf("%s: error %v", tls.VersionName(version), err)
		}
	}
}

func TestOtherFailuresOfAHandshakeAreNotBlamedOnTheCertificate(t *testing.T) {
	for name, target := range map[string]*tls.Config{
		"an old version":   {Certificates: []tls.Certificate{outboundtest.Certificate(t)}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"no protocol":      {Certificates: []tls.Certificate{outboundtest.Certificate(t)}, NextProtos: []string{"smtp"}},
		"no certificate":   {},
		"a demand for one": {Certificates: []tls.Certificate{outboundtest.Certificate(t)}, ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12},
	} {
		_, _, err := handshake(t, "http/1.1", target)
		if _, ok := errors.AsType[*outbound.CertificateError](err); ok || err == nil {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
