package routing

import (
	"cmp"
	"net/netip"
	"slices"
)

// resourceNames has the names of resources. Several resources may share a name: a client finds those that it can see.
type resourceNames struct {
	names shards[[]namedResource]
}

// namedResource is a resource under one of its names.
type namedResource struct {
	resource *Resource
	route    *ResourceRoute
	private  bool
}

func newResourceNames() resourceNames { return resourceNames{newShards[[]namedResource]()} }

func (n *resourceNames) publish() { n.names.publish() }

func (n *resourceNames) add(resource *Resource, route *ResourceRoute) {
	n.put(route.DomainName, namedResource{resource, route, false})
	if route.PrivateName != "" {
		n.put(route.PrivateName, namedResource{resource, route, true})
	}
}

func (n *resourceNames) put(name string, named namedResource) {
	before, _ := n.names.drafted(name)
	list := slices.Clone(before)
	// As with services: the association that was created first, and endpoints in the order of their ids.
	at, _ := slices.BinarySearchFunc(list, named, func(a, b namedResource) int {
		return cmp.Or(cmp.Compare(a.route.EndpointID, b.route.EndpointID), older(&a.route.created, &b.route.created))
	})
	n.names.draft(name)[name] = slices.Insert(list, at, named)
}

func (n *resourceNames) remove(resource *Resource, route *ResourceRoute) {
	for _, name := range []string{route.DomainName, route.PrivateName} {
		before, ok := n.names.drafted(name)
		if !ok {
			continue
		}
		list := slices.DeleteFunc(slices.Clone(before), func(named namedResource) bool { return named.resource == resource })
		if len(list) == 0 {
			delete(n.names.draft(name), name)
		} else {
			n.names.draft(name)[name] = list
		}
	}
}

// ResourceName returns the addresses of a resource's name as a client finds them. The name is in lower case and has no dot at
// its end. At AWS, names of endpoints are public. Names of associations and private names are found only by clients
// that reach the resource.
func (r *Router) ResourceName(name string, client netip.Addr) ([]netip.Addr, bool) {
	named, ok := r.model.resources.names.names.find([]byte(name))
	if !ok {
		return nil, false
	}
	origin := r.origins.of(client)
	for _, n := range named {
		found := true
		switch {
		case n.private:
			found = n.route.finds(origin)
		case n.route.EndpointID == "":
			found = origin.vantage == nil || n.route.way(origin) != nil
		}
		if found {
			return n.resource.Addresses, true
		}
	}
	return nil, false
}

// ResourceNames returns all names of resources, in no order.
func (r *Router) ResourceNames() []string {
	var list []string
	for name := range r.model.resources.names.names.all() {
		list = append(list, name)
	}
	return list
}
