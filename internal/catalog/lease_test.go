package catalog

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

func token(name string) *lattice.Token {
	return &lattice.Token{Scope: scope, Operation: "CreateTargetGroup", Token: name, Answer: []byte(`{}`)}
}

func TestExpiringRecordsShareALeaseAndExpireWithIt(t *testing.T) {
	s := testStore(t)
	followed := newFollower(t)
	c := startOn(t, s.shared(), Config{Apply: followed.apply})
	first, second := token("first"), token("second")
	commit(t, c, func(tx *Tx) { tx.PutExpiring(first) })
	commit(t, c, func(tx *Tx) { tx.PutExpiring(second) })
	put(t, c, group("stays"))

	leaseOf := func(key lattice.Key) clientv3.LeaseID {
		resp, err := s.kv.Get(t.Context(), prefix+key.String())
		if err != nil || len(resp.Kvs) != 1 {
			t.Fatal(err, resp)
		}
		return clientv3.LeaseID(resp.Kvs[0].Lease)
	}
	lease := leaseOf(first.Key())
	if other := leaseOf(second.Key()); other != lease || lease == clientv3.NoLease {
		t.Errorf("the leases are %x and %x", lease, other)
	}
	left, err := raw(s).TimeToLive(t.Context(), lease)
	if err != nil {
		t.Fatal(err)
	}
	if granted := time.Duration(left.GrantedTTL) * time.Second; granted < lattice.TokenRetention+leasePeriod {
		t.Errorf("the lease is for %s: a record put at the end of its period would be kept for too short a time", granted)
	}

	if _, err := raw(s).Revoke(t.Context(), lease); err != nil { // as if it had expired
		t.Fatal(err)
	}
	commit(t, c, func(tx *Tx) { tx.PutExpiring(token("third")) }) // needs a new lease
	c.Read(func(v View) {
		for _, gone := range []*lattice.Token{first, second} {
			if _, ok := v.Get(gone.Key()); ok {
				t.Errorf("%s is still there", gone.Token)
			}
		}
		if len(v.(*table).rows) != 2 {
			t.Errorf("%d records, want 2", len(v.(*table).rows))
		}
	})
	followed.compare(c)
	if renewed := leaseOf(token("third").Key()); renewed == lease {
		t.Error("the lease is still the old one")
	}
}

func TestAnExpiringRecordThatIsPutAgainStays(t *testing.T) {
	s := testStore(t)
	c := startOn(t, s.shared(), Config{})
	record := token("a")
	commit(t, c, func(tx *Tx) { tx.PutExpiring(record) })
	put(t, c, record)
	resp, err := s.kv.Get(t.Context(), prefix+record.Key().String())
	if err != nil || len(resp.Kvs) != 1 || resp.Kvs[0].Lease != 0 {
		t.Errorf("got %v, %v; want a record without a lease", resp, err)
	}
}

func TestALeaseIsUsedForOnePeriod(t *testing.T) {
	s := testStore(t)
	l := leases{lease: s.lease}
	current := func() clientv3.LeaseID {
		id, err := l.current(t.Context(), lattice.TokenRetention)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := current()
	if again := current(); again != first {
		t.Errorf("got %x after %x", again, first)
	}
	longer, err := l.current(t.Context(), lattice.MaxSessionDuration)
	if err != nil || longer == first {
		t.Errorf("records that are kept longer have the lease %x, %v", longer, err)
	}
	if again := current(); again != first {
		t.Errorf("got %x after %x", again, first)
	}
	l.granted[lattice.TokenRetention] = granted{id: first, until: time.Now()}
	if next := current(); next == first {
		t.Error("the period has ended, but the lease is the same")
	}
}

func TestSessionsAreKeptForTheirOwnTime(t *testing.T) {
	s := testStore(t)
	c := startOn(t, s.shared(), Config{})
	session := &lattice.Session{Account: scope.Account, AccessKeyID: "ASIDEXAMPLE"}
	commit(t, c, func(tx *Tx) { tx.PutExpiring(token("a")); tx.PutExpiring(session) })
	resp, err := s.kv.Get(t.Context(), prefix+session.Key().String())
	if err != nil || len(resp.Kvs) != 1 {
		t.Fatal(err, resp)
	}
	left, err := raw(s).TimeToLive(t.Context(), clientv3.LeaseID(resp.Kvs[0].Lease))
	if err != nil {
		t.Fatal(err)
	}
	if granted := time.Duration(left.GrantedTTL) * time.Second; granted < lattice.MaxSessionDuration {
		t.Errorf("the lease is for %s", granted)
	}
}
