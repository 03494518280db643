package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"trellis/internal/accesslog"
	"trellis/internal/accesslog/delivery"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/shape"
)

// listedPolicy is an auth policy as the list shows it, with the resource that it is attached to.
type listedPolicy struct {
	*lattice.AuthPolicy
	kind, name, arn string
	auth            shape.AuthType
}

// listedPolicyOf returns the policy of a resource.
func listedPolicyOf(view catalog.View, p *lattice.AuthPolicy) *listedPolicy {
	listed := &listedPolicy{AuthPolicy: p, name: p.ResourceID}
	if s, ok := catalog.Get[*lattice.Service](view, lattice.ServiceKey(p.Scope, p.ResourceID)); ok {
		listed.kind, listed.name, listed.arn, listed.auth = "service", s.Name, s.ARN(), s.AuthType
	}
	if n, ok := catalog.Get[*lattice.ServiceNetwork](view, lattice.ServiceNetworkKey(p.Scope, p.ResourceID)); ok {
		listed.kind, listed.name, listed.arn, listed.auth = "service network", n.Name, n.ARN(), n.AuthType
	}
	return listed
}

// inForce returns a cell that shows if a policy is in force.
func (p *listedPolicy) inForce() cell {
	if p.auth == shape.AuthTypeAwsIam {
		return cell{Text: "In force", Mark: "good"}
	}
	return cell{Text: "Not in force", Mark: "warn", Sub: "the auth type is NONE"}
}

// denials returns a table of the last denied requests of a service, whichever policy denied them.
func (v *visit) denials(wants func(*delivery.Failure) bool) *table {
	return v.failures("denials", "Last denials", func(f *delivery.Failure) bool {
		return f.Reason == accesslog.ClientAccessDenied && wants(f)
	})
}

func (v *visit) policies() (*content, error) {
	var found []*listedPolicy
	v.read(func(view catalog.View) {
		of := func(id string) {
			if p, ok := catalog.Get[*lattice.AuthPolicy](view, lattice.AuthPolicyKey(v.scope, id)); ok {
				found = append(found, listedPolicyOf(view, p))
			}
		}
		for n := range catalog.All[*lattice.ServiceNetwork](view, lattice.All(lattice.KindServiceNetwork, v.scope)) {
			of(n.ID)
		}
		for s := range catalog.All[*lattice.Service](view, lattice.All(lattice.KindService, v.scope)) {
			of(s.ID)
		}
	})
	t := list[*listedPolicy]{
		id: "policies", label: "Policies", items: found, key: func(p *listedPolicy) string { return p.ResourceID },
		empty:   "No service and no service network has an auth policy.",
		matches: func(p *listedPolicy, word string) bool { return containsAny(word, p.name, p.ResourceID, p.kind) },
		columns: []column[*listedPolicy]{
			{name: "Of", by: byText(func(p *listedPolicy) string { return p.name }), cell: func(p *listedPolicy) cell {
				return cell{Text: p.name, Link: v.to("policies", p.ResourceID), Sub: p.ResourceID}
			}},
			{name: "Kind", by: byText(func(p *listedPolicy) string { return p.kind }), cell: func(p *listedPolicy) cell { return text(p.kind) }},
			{name: "State", by: byText(func(p *listedPolicy) string { return p.inForce().Text }), cell: (*listedPolicy).inForce},
			{name: "Changed", by: func(a, b *listedPolicy) int { return a.UpdatedAt.Compare(b.UpdatedAt) }, cell: func(p *listedPolicy) cell { return text(ago(p.UpdatedAt)) }},
		},
	}.show(v)
	denials := v.denials(func(f *delivery.Failure) bool { return v.isMine(f.Service) })
	return &content{Title: "Auth policies", Data: listPage{Table: t, More: []*table{denials}}}, nil
}

// policyPage is the page of an auth policy.
type policyPage struct {
	object
	// Document is empty if the visitor may not read it; Why then says why.
	Document, Why string
	Warnings      []string
}

func (v *visit) policy() (*content, error) {
	id := v.r.PathValue("id")
	var found *listedPolicy
	v.read(func(view catalog.View) {
		if p, ok := catalog.Get[*lattice.AuthPolicy](view, lattice.AuthPolicyKey(v.scope, id)); ok {
			found = listedPolicyOf(view, p)
		}
	})
	if found == nil {
		return nil, &missingError{"auth policy of", id}
	}
	p := &policyPage{object: object{Kind: "Auth policy of a " + found.kind, Name: found.name, ID: id, ARN: found.arn, Status: found.inForce(), Created: found.CreatedAt, Updated: found.UpdatedAt}}
	p.Facts = []fact{{"Attached to", cell{Text: found.name, Link: pageOf(found.arn), Sub: found.kind}}, {"Auth type", authCell(found.auth)}}
	p.readDocument(v)
	p.Tables = []*table{v.denials(func(f *delivery.Failure) bool {
		return f.Service == found.arn && f.Denied == accesslog.DeniedByService || found.kind == "service network" && f.Denied == accesslog.DeniedByNetwork && v.isMine(f.Service)
	})}
	return &content{Title: "Auth policy of " + found.name, Data: p}, nil
}

// readDocument reads the policy by GetAuthPolicy, so that a visitor who may not call that does not see the policy here either
//
func (p *policyPage) readDocument(v *visit) {
	if !v.mayChange() {
		p.Why = "The document is shown to people who have signed in and may call GetAuthPolicy."
		return
	}
	body, _, err := v.ask(change{http.MethodGet, "/authpolicy/" + url.PathEscape(p.ID), struct{}{}})
	if err != nil {
		p.Why = err.Error()
		return
	}
	var got struct{ Policy string }
	if json.Unmarshal(body, &got) != nil {
		return
	}
	p.Document = indented(got.Policy)
	p.Commands = []command{v.command("Put it", "PutAuthPolicy", &shape.PutAuthPolicyRequest{ResourceIdentifier: &p.ID, Policy: &got.Policy})}
	if document, err := policy.Parse(got.Policy); err == nil {
		for _, warning := range document.Lint() {
			p.Warnings = append(p.Warnings, warning.String())
		}
	}
}

// indented writes JSON with line breaks.
func indented(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if encoder.Encode(json.RawMessage(text)) != nil {
		return text
	}
	return strings.TrimSpace(b.String())
}
