package control

import (
	"slices"
	"strings"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// findAttachable returns the service, service network or resource configuration that an identifier names, by id or ARN.
// Policies and access log subscriptions are attached to these.
func findAttachable(v catalog.View, caller api.Caller, identifier *string) (lattice.Resource, error) {
	kind, _ := lattice.KindOfID((*identifier)[strings.LastIndexByte(*identifier, '/')+1:])
	path, err := identifierPath(caller, kind, identifier)
	if err != nil {
		return nil, err
	}
	rec, ok := catalog.Get[lattice.Resource](v, lattice.Key{Kind: kind, Scope: caller.Scope(), Path: path[len(path)-1]})
	if !ok {
		return nil, api.NotFound(resourceTypes[kind], *identifier)
	}
	return rec, nil
}

// dropAttachments deletes the policies and access log subscriptions of a resource that is being deleted (API
// DeleteService, API DeleteServiceNetwork).
func dropAttachments(tx *catalog.Tx, rec lattice.Resource) {
	scope, id := rec.Meta().Scope, rec.Meta().ID
	tx.Delete(lattice.AuthPolicyKey(scope, id))
	tx.Delete(lattice.ResourcePolicyKey(scope, id))
	for _, s := range slices.Collect(catalog.All[*lattice.AccessLogSubscription](tx, subscriptionsOf(scope, id))) {
		tx.Delete(s.Key())
	}
}
