package exchange

import (
	"trellis/internal/proxy/wire/http1"
	"trellis/internal/routing"
)

// Begin begins the exchange of a request whose head has been parsed; received is how many bytes of it have come. It decides
// where the request goes, or how it is refused.
func (x *HTTP) Begin(client *Client, version routing.Version, received int) (r Refusal, refused bool) {
	to, r, refused := x.serviceFor(client, x.Request.Host)
	isConnect := string(x.Request.Method) == "CONNECT"
	if isConnect {
		to = plan{} // CONNECT names the end of a tunnel, and no host.
	}
	x.startHTTP(client, version, to, received)
	x.takeRequestID()
	switch {
	case isConnect:
		return connectMethod, true
	case refused:
		return r, true
	}
	x.route.Method, x.route.Path = x.Request.Method, x.Request.Path
	return x.follow(&x.Request, &x.route)
}

// BeginUnparsed begins the exchange of a request that could not be parsed, so that nothing is known about it.
func (x *HTTP) BeginUnparsed(client *Client, version routing.Version, received int, problem error) {
	x.Request.Reset()
	x.RequestBody = http1.Body{}
	x.startHTTP(client, version, plan{}, received)
	x.makeRequestID()
	x.Record.Problem = problem
}

func (x *HTTP) startHTTP(client *Client, version routing.Version, to plan, received int) {
	x.start(client, version, to, &x.Request)
	x.Record.Received = int64(received)
	x.Uploads, x.continued, x.interims = false, false, 0
	x.explanation = x.explanation[:0]
}
