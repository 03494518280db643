package api

import (
	"net/url"
	"strings"
	"testing"
)

const (
	serviceARN = "arn:aws:vpc-lattice:us-west-2:123456789012:service/svc-0123456789abcdef0"
	escapedARN = "arn%3Aaws%3Avpc-lattice%3Aus-west-2%3A123456789012%3Aservice%2Fsvc-0123456789abcdef0"
)

func TestPathsLeadToTheirOperations(t *testing.T) {
	tests := []struct {
		name, method, path string
		want               string // empty: unknown
		labels             labels
	}{
		{"collection", "GET", "/targetgroups", "ListTargetGroups", labels{}},
		{"collection, other method", "POST", "/targetgroups", "CreateTargetGroup", labels{}},
		{"id", "GET", "/targetgroups/tg-1", "GetTargetGroup", labels{"tg-1"}},
		{"word behind an id", "POST", "/targetgroups/tg-1/registertargets", "RegisterTargets", labels{"tg-1"}},
		{"three labels", "PATCH", "/services/s/listeners/l/rules/r", "UpdateRule", labels{"s", "l", "r"}},
		{"ARN in the middle", "GET", "/services/" + escapedARN + "/listeners", "ListListeners", labels{serviceARN}},
		{"ARN with plain colons", "GET", "/services/" + strings.Replace(serviceARN, "/", "%2F", 1), "GetService", labels{serviceARN}},
		{"ARN escaped in lower case", "GET", "/tags/" + strings.ToLower(escapedARN), "ListTagsForResource", labels{serviceARN}},
		{"ARN with a plain slash", "GET", "/tags/" + serviceARN, "ListTagsForResource", labels{serviceARN}},
		{"ARN with escaped colons and a plain slash", "GET", "/resourcepolicy/" + strings.Replace(escapedARN, "%2F", "/", 1), "GetResourcePolicy", labels{serviceARN}},
		{"escaped twice stays escaped once", "GET", "/targetgroups/a%252Fb", "GetTargetGroup", labels{"a%2Fb"}},
		{"plus is no space", "GET", "/targetgroups/a+b", "GetTargetGroup", labels{"a+b"}},

		{"root", "GET", "/", "", labels{}},
		{"no path", "GET", "", "", labels{}},
		{"asterisk", "OPTIONS", "*", "", labels{}},
		{"no leading slash", "GET", "xtargetgroups", "", labels{}},
		{"unknown word", "GET", "/targets", "", labels{}},
		{"other case", "GET", "/TargetGroups", "", labels{}},
		{"unknown method", "PUT", "/targetgroups", "", labels{}},
		{"HEAD", "HEAD", "/targetgroups", "", labels{}},
		{"OPTIONS", "OPTIONS", "/targetgroups", "", labels{}},
		{"trailing slash", "GET", "/targetgroups/", "", labels{}},
		{"trailing slash behind an id", "GET", "/targetgroups/tg-1/", "", labels{}},
		{"trailing slash behind an ARN", "GET", "/tags/" + serviceARN + "/", "", labels{}},
		{"empty label", "GET", "/services//listeners", "", labels{}},
		{"leading double slash", "GET", "//targetgroups", "", labels{}},
		{"more behind an id", "GET", "/servicenetworks/sn-1/more", "", labels{}},
		{"more behind a word", "POST", "/targetgroups/tg-1/registertargets/more", "", labels{}},
		{"bad escape", "GET", "/targetgroups/%zz", "", labels{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			op, got := route(test.method, test.path)
			name := ""
			if op != nil {
				name = op.name
			}
			if name != test.want || op != nil && got != test.labels {
				t.Errorf("%s %s is %q with %q, want %q with %q", test.method, test.path, name, got, test.want, test.labels)
			}
		})
	}
}

func FuzzRouteNeverPanics(f *testing.F) {
	for _, seed := range []string{"/services/" + escapedARN + "/listeners/l/rules/r", "/tags/" + serviceARN, "//", "*", "/tags/arn:/", "/targetgroups/%"} {
		f.Add("GET", seed)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		op, labels := route(method, path)
		if op == nil {
			return
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("%q is routed to %s, but its escapes are wrong", path, op.name)
		}
		for _, label := range labels {
			if !strings.Contains(decoded, label) {
				t.Errorf("%q has the label %q, which is not in it", path, label)
			}
		}
	})
}
