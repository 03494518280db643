package control

import (
	"context"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// Resolver looks TXT records up. *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// NewResolver returns a resolver that asks only the DNS server at an address.
func NewResolver(address string) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}
}

// How domains are verified.
const (
	// lookupTimeout is how long one look-up may take, with the resolver's own retries.
	lookupTimeout = 20 * time.Second
	// lookupsAtOnce is how many look-ups may be under way.
	lookupsAtOnce = 8
	// The record of a verification is published soon after its start, or hours later. So the time between two looks is an
	// eighth of the verification's age, within these bounds.
	lookupIntervalAgePart = 8
	minLookupInterval     = 5 * time.Second
	maxLookupInterval     = 10 * time.Minute
)

// verifier looks for the TXT records of domain verifications. Each node does so, at the cost of one look-up each. A verified
// domain is not looked for again.
type verifier struct {
	// started is signalled when a verification has been started on this node.
	started chan struct{}
	// next is when each verification is looked for again. Only the goroutine that runs the verifier uses it.
	next map[lattice.Key]time.Time
}

func newVerifier() verifier {
	return verifier{started: make(chan struct{}, 1), next: map[lattice.Key]time.Time{}}
}

func (v *verifier) signal() {
	select {
	case v.started <- struct{}{}:
	default:
	}
}

// verifyDomains looks for TXT records until ctx ends.
func (c *Control) verifyDomains(ctx context.Context) {
	for {
		wait := c.verifyDue(ctx)
		select {
		case <-ctx.Done():
			return
		case <-c.verifier.started:
		case <-time.After(wait):
		}
	}
}

// verifyDue looks for the records that are due, and returns how long to wait for the next one: at most dueInterval, within
// which it notices what other nodes have started.
func (c *Control) verifyDue(ctx context.Context) time.Duration {
	now := c.Now()
	wait := dueInterval
	next := make(map[lattice.Key]time.Time)
	var due []*lattice.DomainVerification
	c.Catalog.Read(func(v catalog.View) {
		for d := range catalog.All[*lattice.DomainVerification](v, lattice.UnverifiedDomains) {
			if !now.Before(d.CreatedAt.Add(lattice.VerificationTimeout)) {
				continue
			}
			at := c.verifier.next[d.Key()]
			if !at.After(now) {
				due = append(due, d)
				interval := now.Sub(d.CreatedAt) / lookupIntervalAgePart
				at = now.Add(min(max(interval, minLookupInterval), maxLookupInterval))
			}
			next[d.Key()] = at
			wait = min(wait, at.Sub(now))
		}
	})
	c.verifier.next = next
	var lookups errgroup.Group
	lookups.SetLimit(lookupsAtOnce)
	for _, d := range due {
		lookups.Go(func() error {
			c.verify(ctx, d)
			return nil
		})
	}
	_ = lookups.Wait() // The functions return no errors.
	return wait
}

// verify looks for one record. Usually it does not exist, or not yet.
func (c *Control) verify(ctx context.Context, d *lattice.DomainVerification) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	// The final dot keeps the resolver from trying the name within the domains of this machine.
	values, err := c.Resolver.LookupTXT(ctx, d.RecordName()+".")
	if err != nil {
		c.Log.Debug("looking for a TXT record", "name", d.RecordName(), "error", err)
		return
	}
	if !slices.Contains(values, d.TXTValue) {
		return
	}
	err = c.Catalog.Commit(ctx, func(tx *catalog.Tx) error {
		current, ok := catalog.Get[*lattice.DomainVerification](tx, d.Key())
		if !ok || !current.VerifiedAt.IsZero() {
			return nil
		}
		verified := updated(current, c.now())
		verified.VerifiedAt = verified.UpdatedAt
		tx.Put(verified)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.Log.Error("noting that a domain is verified", "domain", d.DomainName, "error", err)
	}
}
