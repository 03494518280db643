package catalog

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// leasePeriod is how long records get the same lease, so that an expiring record does not cost one of its own. A
// record is kept this much longer than promised at most.
const leasePeriod = 10 * time.Minute

// granter grants leases.
type granter interface {
	Grant(ctx context.Context, ttl int64) (*clientv3.LeaseGrantResponse, error)
}

// leases hands out the lease for the records that are to expire. It belongs to the committer's goroutine.
type leases struct {
	lease granter
	id    clientv3.LeaseID
	until time.Time // when the next lease is due
}

// current returns a lease that lasts for at least lattice.TokenRetention.
func (l *leases) current(ctx context.Context) (clientv3.LeaseID, error) {
	if l.id != 0 && time.Now().Before(l.until) {
		return l.id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lastLimit)
	defer cancel()
	until := time.Now().Add(leasePeriod)
	resp, err := l.lease.Grant(ctx, int64((lattice.TokenRetention+leasePeriod)/time.Second))
	if err != nil {
		return 0, err
	}
	l.id, l.until = resp.ID, until
	return l.id, nil
}

// forget has the next call get a new lease.
func (l *leases) forget() { l.id = 0 }
