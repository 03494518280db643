package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

// listedCertificate is a certificate as the list shows it.
type listedCertificate struct {
	arn, names string
	expires    time.Time
	services   []cell
}

// expiresSoon is how long before its end a certificate is marked.
const expiresSoon = 30 * 24 * time.Hour

func (v *visit) certificates() (*content, error) {
	users := map[string][]cell{}
	v.read(func(view catalog.View) {
		for s := range catalog.All[*lattice.Service](view, lattice.All(lattice.KindService, v.scope)) {
			if s.CertificateARN != "" {
				users[s.CertificateARN] = append(users[s.CertificateARN], cell{Text: s.Name, Link: v.to("services", s.ID)})
			}
		}
	})
	known := v.cfg.Inventory()
	all := []*listedCertificate{{arn: "the local authority", names: "signs for every name without a certificate of its own; clients trust /ca.pem", expires: v.cfg.AuthorityExpires}}
	for arn, expires := range known.CertificateExpiries() {
		c := &listedCertificate{arn: arn, expires: expires, services: users[arn]}
		if certificate, ok := known.Certificate(arn); ok && certificate.TLS.Leaf != nil {
			c.names = strings.Join(certificate.TLS.Leaf.DNSNames, ", ")
		}
		delete(users, arn)
		all = append(all, c)
	}
	for arn, services := range users { // The local authority makes certificates for them.
		all = append(all, &listedCertificate{arn: arn, services: services})
	}
	slices.SortFunc(all, func(a, b *listedCertificate) int {
		return cmp.Or(compareBool(a.expires.IsZero(), b.expires.IsZero()), a.expires.Compare(b.expires), strings.Compare(a.arn, b.arn))
	})
	t := list[*listedCertificate]{
		label: "Certificates", items: all, key: func(c *listedCertificate) string { return slugOf(strings.ReplaceAll(c.arn, ":", "-")) },
		matches: func(c *listedCertificate, word string) bool { return containsAny(word, c.arn, c.names) },
		columns: []column[*listedCertificate]{
			{name: "Certificate", by: byText(func(c *listedCertificate) string { return c.arn }), cell: func(c *listedCertificate) cell { return cell{Text: c.arn, Code: strings.HasPrefix(c.arn, "arn:")} }},
			{name: "Names", cell: func(c *listedCertificate) cell {
				if c.names == "" {
					return cell{Text: "not in the inventory", Sub: "the local authority's are served in its place"}
				}
				return text(c.names)
			}},
			{name: "Ends", by: func(a, b *listedCertificate) int { return a.expires.Compare(b.expires) }, cell: v.endCell},
			{name: "Services", cell: func(c *listedCertificate) cell { return cell{More: c.services} }},
		},
	}.show(v)
	return &content{Title: "Certificates", Data: listPage{Table: t}}, nil
}

// endCell is when a certificate ends.
func (v *visit) endCell(c *listedCertificate) cell {
	if c.expires.IsZero() {
		return text("–")
	}
	end := cell{Text: c.expires.UTC().Format(time.DateOnly), Sub: ago(c.expires), Mark: "good"}
	switch left := c.expires.Sub(v.now); {
	case left <= 0:
		end.Mark = "bad"
	case left < expiresSoon:
		end.Mark = "warn"
	}
	return end
}
