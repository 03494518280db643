// Package console shows a node to people, in a browser: the resources of an account in a Region, what is wrong, what was
// counted in the last minutes, and what failed last. It has no state except samples of counters and the sessions of people who
// signed in. Templates make pages from what the other parts know. Every change goes through the operations of the API, with
// their checks.
//
// It needs no other address, no build step and, for reading, no JavaScript. Invariant: a request to the console never waits
// for traffic, and traffic never waits for such a request.
package console

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"trellis/internal/accesslog/delivery"
	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/function"
	"trellis/internal/health"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/principal"
	"trellis/internal/proxy"
	"trellis/internal/routing"
)

// Path begins all addresses of the console.
const Path = "/console/"

// Config has what a Console shows, and the parts that know it.
type Config struct {
	Version string
	// Dev: anybody may change things. Otherwise one must sign in for that.
	Dev bool
	// API is the URL of the API port, Port that of the console itself.
	API  string
	Port string
	// Home is the account and the Region that are shown first.
	Home lattice.Scope
	// Regions are those in which things may be changed. None means all.
	Regions []string
	// Store says where records are kept.
	Store string

	Catalog   *catalog.Catalog
	Router    *routing.Router
	Checker   *health.Checker
	Functions *function.Functions
	Failed    *delivery.Queue
	Inventory func() *inventory.Snapshot
	// AuthorityExpires is when the certificate of the local authority expires.
	AuthorityExpires time.Time
	// Now is the time by which statuses of resources follow from their records.
	Now func() time.Time

	// Problems returns what the operator should attend to.
	Problems func() []Problem
	// Explain returns what would happen to a request, as /explain does.
	Explain func(url.Values) (Explanation, error)
	// ExplainResource returns what would happen to a connection to a resource, as /explain does.
	ExplainResource func(context.Context, url.Values) (ResourceExplanation, error)
	// Report returns what is known of the targets of a target group, whether or not it is in use.
	Report func(group *lattice.TargetGroup, targets []*lattice.Target) []health.TargetReport
	// Resource returns how a resource can be reached at an address, and its last failure.
	Resource func(*routing.Resource, netip.Addr) proxy.ResourceState
	// Bound returns the address at which a listener's port can be reached, or "".
	Bound func(listenerPort int) string

	// Operations are those of the API, for callers whom Authenticator finds.
	Operations http.Handler
	// Principal returns who has an access key.
	Principal func(accessKeyID string) (*principal.Principal, bool)
	// Anybody returns the principal who changes things in an account in dev.
	Anybody func(account string) *principal.Principal
	// CheckKeys returns why keys do not prove who somebody is: an error of the API port's authenticator, or nil.
	CheckKeys func(r *http.Request, keys Keys) error
	// Sessions are the sessions of the process from which this one takes over.
	Sessions []Session
}

// Problem is something that the operator should attend to.
type Problem struct {
	// About is the kind of what has the problem, or "node".
	About string `json:"about"`
	// ID is which one.
	ID    string        `json:"id,omitempty"`
	Text  string        `json:"text"`
	Scope lattice.Scope `json:"-"` // nil for a problem of the node
}

func (p Problem) String() string { return p.Text }

// Explanation says what would happen to a request: what routing would do, and what the health checks saw last.
type Explanation struct {
	routing.Explanation
	// Bound is the address at which the port can be reached; it is empty when no listener has the port or it cannot be bound.
	Bound string `json:"bound,omitempty"`
	// Health is what is known about the targets of each target group, by its ARN.
	Health map[string][]health.TargetReport `json:"health,omitempty"`
	// Functions is what is known about those targets that are Lambda functions, by ARN.
	Functions map[string]FunctionReport `json:"functions,omitempty"`
}

// ResourceExplanation says what would happen to a connection to an address of a resource.
type ResourceExplanation struct {
	Address   netip.Addr   `json:"address"`
	Addresses []netip.Addr `json:"addresses"`
	Port      int          `json:"port,omitempty"`
	// Problem says why a connection would not be made; it is empty if one would.
	Problem string `json:"problem,omitempty"`

	ResourceConfiguration string              `json:"resourceConfiguration"` // ARN
	ServiceNetwork        string              `json:"serviceNetwork,omitempty"`
	Association           string              `json:"association,omitempty"`
	VpcEndpoint           string              `json:"vpcEndpoint,omitempty"`
	DomainName            string              `json:"domainName"`
	PrivateDomainName     string              `json:"privateDomainName,omitempty"`
	PortRanges            []lattice.PortRange `json:"portRanges"`
	SourceVpc             string              `json:"sourceVpc,omitempty"`
	// Targets are the addresses to which a connection would be made, in turn.
	Targets []netip.Addr `json:"targets,omitempty"`

	proxy.ResourceState
}

// FunctionReport is what is known about the function of a target group.
type FunctionReport struct {
	// Problem says why the function cannot be invoked, as far as that is known without invoking it.
	Problem string `json:"problem,omitempty"`
	// Report is set for functions that this node runs.
	*function.Report
}

// Console is an http.Handler for all below Path.
type Console struct {
	cfg      Config
	files    assets
	mux      *http.ServeMux
	samples  sampler
	known    scopeList
	sessions sessions
	form     formKey
	streams  chan struct{} // has an element for each page that is kept up to date
	ended    chan struct{}
	end      sync.Once
}

// page is a page about an account and a Region.
type page struct {
	// path is below the scope; names in braces stand for what varies.
	path string
	// menu is the page's name in the menu. Pages without one are reached by links.
	menu string
	// template is the page's file below the folder pages.
	template string
	load     func(*visit) (*content, error)
}

// content is what a page's template is given.
type content struct {
	Title string
	// Problem and Notice stand above everything else.
	Problem, Notice string
	// Data is the page's own.
	Data any
}

// pages are all of them, in the order of the menu.
func pages() []page {
	return []page{
		{path: "{$}", menu: "Overview", template: "overview.html", load: (*visit).overview},
		{path: "service-networks", menu: "Service networks", template: "list.html", load: (*visit).serviceNetworks},
		{path: "service-networks/{id}", template: "object.html", load: (*visit).serviceNetwork},
		{path: "services", menu: "Services", template: "list.html", load: (*visit).services},
		{path: "services/{id}", template: "service.html", load: (*visit).service},
		{path: "services/{id}/listeners/{listener}", template: "listener.html", load: (*visit).listener},
		{path: "services/{id}/listeners/{listener}/rules/{rule}", template: "object.html", load: (*visit).rule},
		{path: "target-groups", menu: "Target groups", template: "list.html", load: (*visit).targetGroups},
		{path: "target-groups/{id}", template: "target_group.html", load: (*visit).targetGroup},
		{path: "functions", menu: "Functions", template: "list.html", load: (*visit).functions},
		{path: "functions/{id}", template: "object.html", load: (*visit).function},
		{path: "resources", menu: "Resources", template: "list.html", load: (*visit).resources},
		{path: "resources/{id}", template: "object.html", load: (*visit).resource},
		{path: "certificates", menu: "Certificates", template: "list.html", load: (*visit).certificates},
		{path: "policies", menu: "Auth policies", template: "list.html", load: (*visit).policies},
		{path: "policies/{id}", template: "policy.html", load: (*visit).policy},
		{path: "explain", menu: "Explain a request", template: "explain.html", load: (*visit).explain},
	}
}

// New returns a console, whose Run must be called.
func New(cfg Config) (*Console, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	c := &Console{cfg: cfg, files: files, mux: http.NewServeMux(), sessions: sessions{all: byCookie(cfg.Sessions)}, form: newFormKey(), streams: make(chan struct{}, maxStreams), ended: make(chan struct{})}
	c.mux.HandleFunc("GET "+Path+"static/{file}", c.files.serve)
	c.mux.HandleFunc("GET "+Path+"{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, pathOf(c.cfg.Home), http.StatusSeeOther)
	})
	for _, p := range pages() {
		c.mux.HandleFunc("GET "+Path+"{account}/{region}/"+p.path, c.show(p))
	}
	c.mux.HandleFunc("GET "+Path+"live", c.live)
	c.handleChanges()
	c.handleSessions()
	c.mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		c.render(w, http.StatusNotFound, "refused.html", c.visit(r, c.cfg.Home), &content{Title: "No such page", Problem: "The console has no page at this address."})
	})
	return c, nil
}

// Run reads the counters at intervals until ctx ends, and then ends the open streams.
func (c *Console) Run(ctx context.Context) error {
	defer c.end.Do(func() { close(c.ended) })
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	c.samples.take(time.Now(), c.eachCounter)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			c.samples.take(now, c.eachCounter)
		}
	}
}

// contentPolicy is what a page may load and do: nothing but what the console itself serves.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	c.mux.ServeHTTP(w, r)
}

// visit is one request of a page.
type visit struct {
	*Console
	r      *http.Request
	scope  lattice.Scope
	now    time.Time
	person *person // nil for somebody who may only read
}

func (c *Console) visit(r *http.Request, scope lattice.Scope) *visit {
	v := &visit{Console: c, r: r, scope: scope, now: c.cfg.Now()}
	v.person = c.personOf(v)
	return v
}

// scopeOf returns the scope in a request's path.
func scopeOf(r *http.Request) (lattice.Scope, bool) {
	scope := lattice.Scope{Account: r.PathValue("account"), Region: r.PathValue("region")}
	return scope, lattice.ValidAccount(scope.Account) && lattice.ValidRegion(scope.Region)
}

func pathOf(scope lattice.Scope) string { return Path + scope.Account + "/" + scope.Region + "/" }

// to returns the address of a page of the visit's scope.
func (v *visit) to(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return pathOf(v.scope) + strings.Join(parts, "/")
}

// read calls a function with a view of the catalog. The function must only collect records: writers wait meanwhile.
func (v *visit) read(collect func(catalog.View)) { v.cfg.Catalog.Read(collect) }

// missingError says that no resource has an id.
type missingError struct{ kind, id string }

func (e *missingError) Error() string { return "There is no " + e.kind + " " + e.id + " here." }

// show responds with a page.
func (c *Console) show(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scope, ok := scopeOf(r)
		if !ok {
			c.render(w, http.StatusNotFound, "refused.html", c.visit(r, c.cfg.Home),
				&content{Title: "No such page", Problem: "The address names no account of 12 digits and Region, as in " + pathOf(c.cfg.Home) + "."})
			return
		}
		v := c.visit(r, scope)
		shown, err := p.load(v)
		if missing, ok := errors.AsType[*missingError](err); ok {
			c.render(w, http.StatusNotFound, "refused.html", v, &content{Title: "Not found", Problem: missing.Error()})
			return
		}
		if err != nil {
			c.render(w, http.StatusInternalServerError, "refused.html", v, &content{Title: "Something went wrong", Problem: err.Error()})
			return
		}
		c.render(w, http.StatusOK, p.template, v, shown)
	}
}

// callerOf is a caller of operations as api knows it.
func callerOf(p *principal.Principal, scope lattice.Scope) api.Caller {
	return api.Caller{Account: scope.Account, Region: scope.Region, Principal: p.ARN, UserID: p.UserID(), AccessKeyID: p.AccessKeyID}
}
