package lattice

import (
	"fmt"
	"strings"
)

// DomainNameProblem says why a name cannot be a host's name (RFC 1123 2.1, RFC 1035 2.3.4), or returns "" if it can. Names
// within the domain of generated names are refused too: they belong to other services.
func DomainNameProblem(name string) string {
	if len(name) > 253 {
		return "It has more than 253 characters."
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if problem := labelProblem(label); problem != "" {
			return problem
		}
	}
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return "Its last label has digits only, like that of an address."
	}
	if strings.Contains("."+strings.ToLower(name), "."+ServiceNameKind+".") {
		return "It lies within the domain of generated names."
	}
	return ""
}

func labelProblem(label string) string {
	switch {
	case label == "":
		return "A label is empty."
	case len(label) > 63:
		return "A label has more than 63 characters."
	case label[0] == '-' || label[len(label)-1] == '-':
		return "A label begins or ends with a hyphen."
	}
	for _, r := range label {
		if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return fmt.Sprintf("The character %q cannot occur in the name of a host.", r)
		}
	}
	return ""
}
