package catalog

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// AccessProblem is why this node cannot use an etcd cluster.
type AccessProblem string

const (
	// ServerCertificate: this node does not trust etcd's certificate.
	ServerCertificate AccessProblem = "etcd's certificate is not trusted"
	// ClientCertificate: etcd does not accept ours.
	ClientCertificate AccessProblem = "etcd does not accept our certificate"
	// UserOrPassword: etcd does not know the user, or the password is wrong.
	UserOrPassword AccessProblem = "etcd does not accept our user"
	// Permission: the user may not read or write the keys of this node.
	Permission AccessProblem = "etcd does not permit our user to read and write there"
)

// AccessError says that an etcd cluster cannot be used as it is configured. Trying again does not help.
type AccessError struct {
	Problem AccessProblem
	Err     error
}

func (e *AccessError) Error() string { return string(e.Problem) + ": " + e.Err.Error() }
func (e *AccessError) Unwrap() error { return e.Err }

// accessError makes an *AccessError of what etcd says when it refuses us, and returns other errors unchanged.
func accessError(err error) error {
	for _, known := range []struct {
		err     error
		problem AccessProblem
	}{
		{rpctypes.ErrAuthFailed, UserOrPassword}, {rpctypes.ErrUserEmpty, UserOrPassword}, {rpctypes.ErrUserNotFound, UserOrPassword},
		{rpctypes.ErrPermissionDenied, Permission},
	} {
		if errors.Is(err, known.err) {
			return &AccessError{Problem: known.problem, Err: err}
		}
	}
	return err
}

// tlsTimeout is how long an endpoint may take to refuse our certificate once it has accepted the connection.
const tlsTimeout = 2 * time.Second

// tryTLS makes a connection to each https endpoint, and returns an error if none can be used and at least one never will
// be. The client itself retries until its time is over, and its error then says only that.
func tryTLS(ctx context.Context, cfg Config) error {
	var mu sync.Mutex // mu guards the variables below.
	usable := false
	var problems []error
	var tries sync.WaitGroup
	for _, endpoint := range cfg.Endpoints {
		u, err := url.Parse(endpoint)
		if err != nil || u.Scheme != "https" {
			return nil
		}
		tries.Go(func() {
			err := shakeHands(ctx, u.Host, cfg.TLS)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				usable = true
			} else if access, ok := errors.AsType[*AccessError](err); ok {
				problems = append(problems, fmt.Errorf("connect to etcd at %s: %w", endpoint, access))
			}
		})
	}
	tries.Wait()
	if usable {
		return nil
	}
	return errors.Join(problems...)
}

// http2Preface is what a client of HTTP/2 begins with: the preface and empty SETTINGS (RFC 9113 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// shakeHands makes a TLS connection to an address and closes it. With TLS 1.3, whether the server accepts our certificate
// shows only when it answers (RFC 8446 4.4.2.4).
func shakeHands(ctx context.Context, address string, config *tls.Config) error {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return tlsError(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(tlsTimeout)); err != nil {
		return err
	}
	if _, err = conn.Write([]byte(http2Preface)); err == nil {
		_, err = bufio.NewReader(conn).Peek(1)
	}
	return tlsError(err)
}

// tlsError returns an *AccessError if a handshake failed because of a certificate.
func tlsError(err error) error {
	if untrusted, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &AccessError{Problem: ServerCertificate, Err: untrusted}
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return &AccessError{Problem: ClientCertificate, Err: err}
	}
	return err
}
