package identity

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"trellis/internal/api"
	"trellis/internal/audit"
	"trellis/internal/ratelimit"
	"trellis/internal/sigv4"
)

// The limits of refused signatures. A client with a wrong clock or secret gets the reason several times before it
// is told to wait.
const (
	failuresPerSecond, failuresAtOnce             = 1, 10 // failures of one access key id from one source
	sourceFailuresPerSecond, sourceFailuresAtOnce = 5, 50 // failures of all key ids from one source
	maxAttackers, maxSources                      = 16384, 4096
	// maxReports bounds the memory for reports, and the lines in a minute.
	maxReports     = 1024
	reportInterval = time.Minute
)

// Failures slows down clients whose signatures are refused, and reports them. The authenticators of all services share
// one, so that nobody gets more attempts by asking another service.
type Failures struct {
	log   *slog.Logger
	audit *audit.Log // May be nil.

	bySource *ratelimit.Table[netip.Prefix]
	byClient *ratelimit.Table[client]

	mu sync.Mutex // mu guards the fields below.
	// proven are clients whose signatures have been correct. The mistakes of others at the same source do not slow them
	// down: many clients may share an address.
	proven map[client]struct{}
	// seen counts failures since they were last reported.
	seen map[failure]int
	// unseen counts failures that had no room in seen.
	unseen int
}

// client is an access key id at a source, which is an IPv4 address or an IPv6 network of 64 bits: a host has all
// addresses of one (RFC 4291 2.5.1).
type client struct {
	source      netip.Prefix
	accessKeyID string
}

// failure is why a client is refused.
type failure struct {
	client
	code   string
	status int
}

// NewFailures returns an empty count of failures. log gets a line for the first of each kind, and so does the audit log, if
// there is one.
func NewFailures(log *slog.Logger, auditLog *audit.Log) *Failures {
	return &Failures{
		log: log, audit: auditLog,
		bySource: ratelimit.NewTable[netip.Prefix](sourceFailuresPerSecond, sourceFailuresAtOnce, maxSources),
		byClient: ratelimit.NewTable[client](failuresPerSecond, failuresAtOnce, maxAttackers),
		proven:   map[client]struct{}{},
		seen:     map[failure]int{},
	}
}

// Guard returns an authenticator that asks another one, unless the client has failed too often.
func (f *Failures) Guard(next api.Authenticator) api.Authenticator { return guarded{f, next} }

type guarded struct {
	failures *Failures
	next     api.Authenticator
}

// Authenticate implements api.Authenticator.
func (g guarded) Authenticate(r *http.Request, body func() ([]byte, error)) (api.Caller, error) {
	f, who := g.failures, clientOf(r)
	if err := f.admit(who, time.Now()); err != nil {
		return api.Caller{}, err
	}
	caller, err := g.next.Authenticate(r, body)
	if err == nil {
		f.succeeded(who)
	} else if refused, ok := errors.AsType[*api.AuthenticationError](err); ok && refused.Code != codeMissingToken {
		f.failed(failure{who, refused.Code, refused.HTTPStatus()}, time.Now())
	}
	return caller, err
}

// admit returns a ThrottlingException for a client whose signatures are not checked for now.
func (f *Failures) admit(who client, now time.Time) error {
	ok, wait := f.byClient.Look(who, now)
	if ok && !f.hasProven(who) {
		ok, wait = f.bySource.Look(who.source, now)
	}
	if ok {
		return nil
	}
	err := api.ThrottledFor(wait, "Too many requests from this address were signed wrongly. Wait before the next one.")
	f.report(failure{who, err.ErrorCode(), err.HTTPStatus()}, now)
	return err
}

func (f *Failures) hasProven(who client) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.proven[who]
	return ok
}

func (f *Failures) succeeded(who client) {
	f.byClient.Refill(who)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.proven[who]; ok {
		return
	}
	if len(f.proven) >= maxAttackers {
		clear(f.proven)
	}
	f.proven[who.clone()] = struct{}{}
}

func (f *Failures) failed(what failure, now time.Time) {
	what.client = what.clone()
	f.byClient.Take(what.client, now)
	f.bySource.Take(what.source, now)
	f.report(what, now)
}

// The clone keeps the request's head from staying in memory with the key id.
func (c client) clone() client { return client{c.source, strings.Clone(c.accessKeyID)} }

// report reports a failure at once if it is the first of its kind, and otherwise counts it.
func (f *Failures) report(what failure, now time.Time) {
	if f.isFirst(what) {
		f.tell(what, 1, now)
	}
}

// isFirst reports whether a failure is the first of its kind lately. Others are counted.
func (f *Failures) isFirst(what failure) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if count, known := f.seen[what]; known {
		f.seen[what] = count + 1
		return false
	}
	if len(f.seen) >= maxReports {
		f.unseen++
		return false
	}
	what.client = what.clone()
	f.seen[what] = 0
	return true
}

// Run reports once a minute what has been counted, until ctx ends.
func (f *Failures) Run(ctx context.Context) error {
	ticker := time.NewTicker(reportInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			f.summarize(time.Now())
			return nil
		case now := <-ticker.C:
			f.summarize(now)
		}
	}
}

// summarize reports the failures since the last time. It forgets kinds that have not occurred since.
func (f *Failures) summarize(now time.Time) {
	f.mu.Lock()
	counts := make(map[failure]int, len(f.seen))
	for what, count := range f.seen {
		if count == 0 {
			delete(f.seen, what)
			continue
		}
		counts[what], f.seen[what] = count, 0
	}
	unseen := f.unseen
	f.unseen = 0
	f.mu.Unlock()
	for what, count := range counts {
		f.tell(what, count, now)
	}
	if unseen > 0 {
		f.log.Warn("signatures of too many different clients to list were refused", "count", unseen)
	}
}

// tell writes to both logs.
func (f *Failures) tell(what failure, count int, now time.Time) {
	source, keyID := what.shownSource(), shownKeyID(what.accessKeyID)
	f.log.Warn("signatures were refused", "source", source, "accessKeyId", keyID, "errorCode", what.code, "count", count)
	if f.audit == nil {
		return
	}
	f.audit.Record(audit.Entry{
		Time: now, AccessKeyID: keyID, SourceIP: source, Operation: "Authenticate", Status: what.status, ErrorCode: what.code, Count: count,
	})
}

// clientOf returns the client that a request names as its sender.
func clientOf(r *http.Request) client {
	c, _ := sigv4.NamedCredential(signedView(r))
	who := client{accessKeyID: c.AccessKeyID[:min(len(c.AccessKeyID), maxAccessKeyID)]}
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return who // Requests without an address count as one source.
	}
	ip, bits := address.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	who.source = netip.PrefixFrom(ip, bits).Masked()
	return who
}

func (c client) shownSource() string {
	if c.source.IsSingleIP() {
		return c.source.Addr().String()
	}
	return c.source.String()
}

// shownKeyID returns as much of an access key id as logs may hold. Users put secrets in its place by mistake, which are longer
// than AWS's ids of 20 characters.
func shownKeyID(id string) string {
	const usual, prefix = 20, 4
	cut := len(id) > usual
	if cut {
		id = id[:prefix]
	}
	id = strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			return c
		}
		return '?'
	}, id)
	if cut {
		id += "..."
	}
	return id
}
