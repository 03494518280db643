package catalog

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leasePeriod is how long records get the same lease, so that an expiring record does not cost one of its own. A record is
// kept at most this much longer than promised.
const leasePeriod = 10 * time.Minute

// granter grants leases.
type granter interface {
	Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error)
}

// leases hands out the lease for the records that are to expire. It belongs to the committer's goroutine.
type leases struct {
	lease   granter
	granted map[time.Duration]granted // by the retention of records
}

// granted is a lease that etcd has granted.
type granted struct {
	id    clientv3.LeaseID
	until time.Time // when the next lease is due
}

// current returns a lease for records that must be kept for at least a given time.
func (l *leases) current(ctx context.Context, retention time.Duration) (clientv3.LeaseID, error) {
	if g, ok := l.granted[retention]; ok && time.Now().Before(g.until) {
		return g.id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lastLimit)
	defer cancel()
	until := time.Now().Add(leasePeriod)
	resp, err := l.lease.Grant(ctx, int64((retention+leasePeriod)/time.Second))
	if err != nil {
		return 0, err
	}
	if l.granted == nil {
		l.granted = map[time.Duration]granted{}
	}
	l.granted[retention] = granted{resp.ID, until}
	return resp.ID, nil
}

// forget makes the next calls get new leases.
func (l *leases) forget() { clear(l.granted) }
