package lattice

import "strings"

// ARN is a parsed ARN of this service.
type ARN struct {
	Scope Scope
	Kind  Kind
	// Path is the ids joined by slashes, as in Key.Path.
	Path string
}

// ID returns the id of the resource itself.
func (a ARN) ID() string { return a.Path[strings.LastIndexByte(a.Path, '/')+1:] }

// Key returns where the resource's record is stored.
func (a ARN) Key() Key { return Key{a.Kind, a.Scope, a.Path} }

// ParseARN parses the ARN of a resource of this service, whatever its partition. ok is false for anything else.
func ParseARN(s string) (a ARN, ok bool) {
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "vpc-lattice" {
		return ARN{}, false
	}
	segments := strings.Split(parts[5], "/")
	if len(segments)%2 != 0 {
		return ARN{}, false
	}
	ids := make([]string, 0, 3)
	for i := 0; i < len(segments); i += 2 {
		if segments[i] == "" || segments[i+1] == "" {
			return ARN{}, false
		}
		ids = append(ids, segments[i+1])
	}
	return ARN{
		Scope: Scope{Account: parts[4], Region: parts[3]},
		Kind:  Kind(segments[len(segments)-2]),
		Path:  strings.Join(ids, "/"),
	}, true
}

func arn(scope Scope, path string) string {
	return "arn:aws:vpc-lattice:" + scope.Region + ":" + scope.Account + ":" + path
}

// FormatARN returns the ARN of a resource in a scope. Its path has kinds and ids joined by slashes, as in
// service/svc-1/listener/listener-2.
func FormatARN(scope Scope, path string) string { return arn(scope, path) }

// IdentifiedARN returns the ARN, in the partition aws, of the resource that an identifier names. The identifier is an ARN of
// any partition, or the id of a resource without a parent in the scope.
func IdentifiedARN(scope Scope, identifier string) string {
	if rest, ok := strings.CutPrefix(identifier, "arn:"); ok {
		_, rest, _ = strings.Cut(rest, ":")
		return "arn:aws:" + rest
	}
	for kind, prefix := range idPrefixes {
		if strings.HasPrefix(identifier, prefix) {
			return arn(scope, string(kind)+"/"+identifier)
		}
	}
	return arn(scope, identifier)
}
