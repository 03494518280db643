package policy

import (
	"slices"
	"strings"
)

// NamesPrincipals reports whether a statement names principals, as those of auth policies do and those of callers do not.
func (d *Document) NamesPrincipals() bool {
	return slices.ContainsFunc(d.Statements, func(s Statement) bool { return s.Principals != nil })
}

// documents returns the policies of the network and of the service.
func (a *Access) documents() []*Document {
	return append(a.policies(Network), a.policies(Service)...)
}

// Principals returns the callers that the policies of the network and of the service name, as ARNs.
func (a *Access) Principals() []string {
	var list []string
	for _, d := range a.documents() {
		for i := range d.Statements {
			if d.Statements[i].Principals == nil {
				continue
			}
			for _, p := range d.Statements[i].Principals.aws {
				arn := p.source
				if p.account != "" {
					arn = "arn:aws:iam::" + p.account + ":root"
				}
				list = append(list, arn)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Paths returns the paths that the policies of the network and of the service name, and /. Wildcards stay in them, since a
// path with a star matches its own pattern.
func (a *Access) Paths() []string {
	list := []string{"/"}
	add := func(path string) {
		if strings.HasPrefix(path, "/") && !strings.Contains(path, "${") {
			list = append(list, path)
		}
	}
	for _, d := range a.documents() {
		for i := range d.Statements {
			s := &d.Statements[i]
			for _, r := range s.Resources {
				if _, service, found := strings.Cut(r.Source, ":service/"); found {
					if slash := strings.IndexByte(service, '/'); slash >= 0 {
						add(service[slash:])
					}
				} else if path, found := strings.CutPrefix(r.Source, "*"); found {
					add(path)
				}
			}
			for j := range s.Conditions {
				if s.Conditions[j].Key.Name == KeyRequestPath {
					for _, v := range s.Conditions[j].values {
						add(v.text)
					}
				}
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
