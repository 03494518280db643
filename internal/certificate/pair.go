package certificate

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookInterval is how often files are looked at for changes, at most.
const lookInterval = time.Second

// pair is a certificate and its key in PEM files.
type pair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu          sync.Mutex       // mu guards the fields below.
	certificate *tls.Certificate // nil until the files could be read
	read        [2]version       // of what was read last, whether or not it could be used
	nextLook    time.Time
	problem     string // that was logged
}

// version tells the contents of a file from those it had before.
type version struct {
	modified time.Time
	size     int64
}

// load returns the certificate, or nil if it never could be read. Files that have changed are read again. If they
// cannot be used, perhaps because only one of them has been replaced yet, the certificate stays what it was.
func (p *pair) load(name string) *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.nextLook) {
		return p.certificate
	}
	p.nextLook = now.Add(lookInterval)
	current := [2]version{versionOf(p.certFile), versionOf(p.keyFile)}
	if p.certificate != nil && p.problem == "" && current == p.read {
		return p.certificate
	}
	p.read = current
	certificate, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		if err.Error() != p.problem {
			p.problem = err.Error()
			p.log.Error("the certificate cannot be read", "file", p.certFile, "key", p.keyFile, "error", err, "served", p.served())
		}
		return p.certificate
	}
	p.certificate, p.problem = &certificate, ""
	p.log.Info("certificate read", "file", p.certFile, "expires", certificate.Leaf.NotAfter.UTC())
	if err := certificate.Leaf.VerifyHostname(name); err != nil {
		p.log.Warn("clients will refuse the certificate", "file", p.certFile, "error", err)
	} else if now.After(certificate.Leaf.NotAfter) {
		p.log.Warn("clients will refuse the certificate", "file", p.certFile, "error", "it has expired")
	}
	return p.certificate
}

// served says what clients get while the files cannot be used.
func (p *pair) served() string {
	if p.certificate == nil {
		return "a certificate of the local authority"
	}
	return "the certificate as it was before"
}

// versionOf returns the zero version of a file that is not there.
func versionOf(file string) version {
	info, err := os.Stat(file)
	if err != nil {
		return version{}
	}
	return version{info.ModTime(), info.Size()}
}
