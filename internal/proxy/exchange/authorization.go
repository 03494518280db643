package exchange

import "trellis/internal/proxy/wire/http1"

// authorize decides whether a request to x.Service may go on, before any rule is looked at. It is the only place that
// does. The request's head has the method, path, query and headers; it is nil for a connection that is passed through.
// x.client has the source. What is found out about the caller belongs in x.Record.Caller.
//
// Auth policies are stored but not evaluated yet. Who asks for authorization must not get traffic without it, so
// everything is denied.
func (x *Exchange) authorize(*http1.Request) (r Refusal, refused bool) {
	if x.Service.NeedsAuthorization() {
		return notAuthorized, true
	}
	return Refusal{}, false
}
