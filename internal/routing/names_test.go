package routing

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// shop puts a service with the custom domain name shop.example.com into an account. It has a listener and a network,
// with which join associates it.
func (w *world) shop(account, id string) (service *lattice.Service, join func()) {
	owner := lattice.Scope{Account: account, Region: scope.Region}
	service = w.service(id)
	service.Scope, service.CustomDomainName = owner, "Shop.example.com"
	network, listener := w.network("sn-"+id), w.listener(id, "listener-"+id, shape.ListenerProtocolHttp, 80)
	rule := w.defaultRule(id, listener.ID, fixed(404))
	association := w.association(id, network.ID)
	network.Scope, listener.Scope, rule.Scope, association.Scope = owner, owner, owner, owner
	w.put(service, network, listener, rule)
	return service, func() { w.put(association) }
}

// verification returns the verification of a domain by an account.
func (w *world) verification(account, domain string, verified bool) *lattice.DomainVerification {
	d := &lattice.DomainVerification{Base: w.base("dv-" + account), DomainName: domain}
	d.Scope.Account = account
	if verified {
		d.VerifiedAt = time.Unix(1700000000, 0)
	}
	return d
}

func (w *world) expectHost(t *testing.T, when, host, want string) {
	t.Helper()
	got := ""
	if s := w.lookup(80, host); s != nil {
		got = s.ID
	}
	if got != want {
		t.Errorf("%s, %s leads to %q, want %q", when, host, got, want)
	}
}

const (
	accountA = "111111111111"
	accountB = "222222222222"
)

func TestCustomDomainNameStaysWithTheAccountThatCameFirst(t *testing.T) {
	w := newWorld(t)
	first, joinFirst := w.shop(accountA, "svc-a")
	second, joinSecond := w.shop(accountB, "svc-b")
	joinSecond()
	if len(w.Ports()) != 1 {
		t.Fatalf("there are %d ports", len(w.Ports()))
	}
	w.expectHost(t, "while the first service is out of reach", "shop.example.com", "")
	w.expectHost(t, "while the first service is out of reach", second.DomainName, "svc-b")
	if e := w.Explain(80, "shop.example.com", &Arrival{Request: get("/")}); e.Problem != "service "+first.ARN()+" is not associated with a service network" {
		t.Errorf("the problem is said to be: %s", e.Problem)
	}
	joinFirst()
	w.expectHost(t, "with both", "shop.example.com", "svc-a")
	w.delete(first)
	w.expectHost(t, "without the first service", "shop.example.com", "svc-b")
}

func TestCustomDomainNameGoesToTheAccountThatVerifiedItsDomain(t *testing.T) {
	w := newWorld(t)
	_, joinFirst := w.shop(accountA, "svc-a")
	second, joinSecond := w.shop(accountB, "svc-b")
	joinFirst()
	joinSecond()
	w.put(w.verification(accountB, "Example.com", false))
	w.expectHost(t, "before the record was found", "shop.example.com", "svc-a")
	verified := w.verification(accountB, "Example.com", true)
	w.put(verified)
	w.expectHost(t, "once it was found", "shop.example.com", "svc-b")
	w.put(w.verification(accountA, "shop.example.com", true))
	w.expectHost(t, "once the other has verified the name itself", "shop.example.com", "svc-a")
	w.delete(w.verification(accountA, "shop.example.com", true))
	w.expectHost(t, "without that verification", "shop.example.com", "svc-b")
	w.delete(second)
	w.expectHost(t, "without the service of who has verified the domain", "shop.example.com", "svc-a")
	w.put(second)
	w.delete(verified)
	w.expectHost(t, "without any verification", "shop.example.com", "svc-a")
}

func TestServiceThatLosesItsNameKeepsTheGeneratedOne(t *testing.T) {
	w := newWorld(t)
	first, join := w.shop(accountA, "svc-a")
	join()
	_, join = w.shop(accountB, "svc-b")
	join()
	w.put(w.verification(accountB, "example.com", true))
	w.expectHost(t, "by its generated name", first.DomainName, "svc-a")
	w.expectHost(t, "by its custom name", "shop.example.com", "svc-b")
}

func TestNameThatChangesOwnersIsNeverWithoutAService(t *testing.T) {
	w := newWorld(t)
	_, join := w.shop(accountA, "svc-a")
	join()
	_, join = w.shop(accountB, "svc-b")
	join()
	port := w.Ports()[0]
	var missed atomic.Int64
	var lookups sync.WaitGroup
	stop := make(chan struct{})
	lookups.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if port.Lookup([]byte("shop.example.com")) == nil {
					missed.Add(1)
				}
			}
		}
	})
	for range 2000 {
		w.put(w.verification(accountB, "example.com", true))
		w.delete(w.verification(accountB, "example.com", true))
	}
	close(stop)
	lookups.Wait()
	if missed.Load() > 0 {
		t.Errorf("%d lookups found nobody", missed.Load())
	}
}

func TestHostsAreTheNamesOfServicesWhetherTheyCanBeReachedOrNot(t *testing.T) {
	w := newWorld(t)
	expect := func(when, name, service, generated string) {
		t.Helper()
		host, ok := w.Host(name)
		if ok != (service != "") || !strings.HasSuffix(host.Service, service) || host.Generated != generated {
			t.Errorf("%s, %s is %+v (%t), want service %q and generated name %q", when, name, host, ok, service, generated)
		}
	}
	first, second := w.service("svc-a"), w.service("svc-b")
	first.DomainName, second.DomainName = "a.localhost", "b.localhost"
	first.CustomDomainName, second.CustomDomainName = "Shop.example.com", "shop.example.com"
	w.put(first, second)
	expect("at first", "a.localhost", "svc-a", "")
	expect("at first", "b.localhost", "svc-b", "")
	expect("at first", "shop.example.com", "svc-a", "a.localhost")
	w.delete(first)
	expect("without the first", "a.localhost", "", "")
	expect("without the first", "shop.example.com", "svc-b", "b.localhost")

	other := w.service("svc-c")
	other.Scope.Account, other.DomainName, other.CustomDomainName = accountB, "c.localhost", "b.localhost"
	w.put(other)
	expect("claimed by another service", "b.localhost", "svc-b", "")
	w.delete(other)
	expect("after that", "b.localhost", "svc-b", "")
	w.delete(second)
	expect("in the end", "b.localhost", "", "")
	expect("in the end", "shop.example.com", "", "")
	if names := w.HostNames(); len(names) != 0 {
		t.Errorf("names are left behind: %v", names)
	}
}
