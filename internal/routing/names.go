package routing

import (
	"slices"

	"trellis/internal/lattice"
)

// nameNode is a custom domain name and the account that owns it. Only services of that account answer to it.
type nameNode struct {
	claimants []*serviceNode // the services whose records have the name, in order of creation
	owner     string
}

// names knows which account owns each custom domain name. It has all names that services claim, reachable or not: a service
// must not get another account's name while that account's service is unreachable.
type names struct {
	nodes map[string]*nameNode
	// verified are the accounts that have verified a domain, once for each verification.
	verified map[string][]string
	dirty    map[string]bool
	// allDirty says that domains have been verified, or are no longer: any name may have changed owners.
	allDirty bool
	// hosts has all names of services, the generated ones too.
	hosts shards[Host]
}

func newNames() names {
	return names{nodes: map[string]*nameNode{}, verified: map[string][]string{}, dirty: map[string]bool{}, hosts: newShards[Host]()}
}

// rename takes a service off the claimants of its old name, before its record is replaced, and adds it to those of its new
// one. If the name stays the same, so does its node: most changes of a service leave the name alone.
func (n *names) rename(s *serviceNode, record *lattice.Service) {
	if record == nil {
		n.removeGenerated(s.record)
	} else {
		n.addGenerated(record)
	}
	before, after := customName(s.record), customName(record)
	if before == after {
		return
	}
	if node := n.nodes[before]; node != nil {
		node.claimants = slices.DeleteFunc(node.claimants, func(other *serviceNode) bool { return other == s })
		n.dirty[before] = true
	}
	if after == "" {
		return
	}
	node := n.nodes[after]
	if node == nil {
		node = &nameNode{}
		n.nodes[after] = node
	}
	at, _ := slices.BinarySearchFunc(node.claimants, record, func(other *serviceNode, record *lattice.Service) int {
		return older(&other.record.Base, &record.Base)
	})
	node.claimants = slices.Insert(node.claimants, at, s)
	n.dirty[after] = true
}

// customName returns the custom domain name of a service as Lookup compares it, or "" if there is none.
func customName(record *lattice.Service) string {
	if record == nil {
		return ""
	}
	return lattice.CanonicalDomainName(record.CustomDomainName)
}

// takeVerification notes that a domain has been verified, or is no longer.
func (n *names) takeVerification(change lattice.Change) {
	before, hadBefore := verification(change.Old)
	after, hasAfter := verification(change.New)
	if hadBefore == hasAfter {
		return // The domain of a verification never changes.
	}
	n.allDirty = true
	if hasAfter {
		domain := lattice.CanonicalDomainName(after.DomainName)
		n.verified[domain] = append(n.verified[domain], after.Scope.Account)
		return
	}
	domain := lattice.CanonicalDomainName(before.DomainName)
	accounts := n.verified[domain]
	if at := slices.Index(accounts, before.Scope.Account); at >= 0 {
		accounts = slices.Delete(accounts, at, at+1)
	}
	if n.verified[domain] = accounts; len(accounts) == 0 {
		delete(n.verified, domain)
	}
}

func verification(record lattice.Record) (d *lattice.DomainVerification, verified bool) {
	d, ok := record.(*lattice.DomainVerification)
	return d, ok && !d.VerifiedAt.IsZero()
}

// settle finds the owners of all names whose owner may have changed. For each name whose owner has, it calls changed with the
// claimants.
func (n *names) settle(changed func(s *serviceNode)) {
	if n.allDirty {
		for name := range n.nodes {
			n.dirty[name] = true
		}
	}
	for name := range n.dirty {
		node := n.nodes[name]
		if len(node.claimants) == 0 {
			delete(n.nodes, name)
			n.settleHost(name, node)
			continue
		}
		accounts := make([]string, len(node.claimants))
		for i, s := range node.claimants {
			accounts[i] = s.ref.scope.Account
		}
		_, verified := lattice.VerifiedBy(name, func(domain string) []string { return n.verified[domain] })
		if owner := lattice.DomainNameOwner(accounts, verified); owner != node.owner {
			node.owner = owner
			for _, s := range node.claimants {
				changed(s)
			}
		}
		n.settleHost(name, node)
	}
	n.hosts.publish()
	clear(n.dirty)
	n.allDirty = false
}

// owner returns the account to which the custom domain name of a service belongs, or "" if it has no such name.
func (n *names) owner(record *lattice.Service) string {
	if node := n.nodes[customName(record)]; node != nil {
		return node.owner
	}
	return ""
}
