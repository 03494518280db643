package api_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/api/bounds"
)

// asked is an Authorizer that remembers what it was asked, and refuses.
type asked struct{ calls []api.Call }

func (a *asked) Authorize(call api.Call) error {
	a.calls = append(a.calls, call)
	return api.AccessDenied("No.")
}

// The file lists each operation with the ARN that it is about when it is called with ids.
func TestEveryOperationIsAuthorizedOnWhatItAddresses(t *testing.T) {
	want, err := os.ReadFile("testdata/addresses.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, op := range bounds.Operations() {
		a := &asked{}
		h := api.NewHandler(api.Config{
			Operations: apitest.Operations(func(context.Context, string, api.Caller, any) error {
				t.Errorf("%s is carried out though it was refused", op.Name)
				return nil
			}),
			Authenticator: anybody{}, Authorizer: a,
		})
		if res := send(t, h, apitest.Valid(op)); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s is answered %d", op.Name, res.StatusCode)
		}
		for _, call := range a.calls {
			fmt.Fprintf(&got, "%s %s\n", call.Operation, call.Resource)
		}
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("testdata/addresses.txt (-want +got):\n%s", diff)
	}
}

func TestARNsInThePathAreAddressedLikeIDs(t *testing.T) {
	const (
		service  = "svc-0123456789abcdef0"
		listener = "listener-0123456789abcdef0"
		prefix   = "arn:aws:vpc-lattice:us-west-2:123456789012:"
	)
	escaped := func(arn string) string { return strings.NewReplacer(":", "%3A", "/", "%2F").Replace(arn) }
	for target, want := range map[string]string{
		"/services/" + service + "/listeners/" + listener:                                                 prefix + "service/" + service + "/listener/" + listener,
		"/services/" + escaped(prefix+"service/"+service) + "/listeners/" + listener:                      prefix + "service/" + service + "/listener/" + listener,
		"/services/" + service + "/listeners/" + escaped(prefix+"service/"+service+"/listener/"+listener): prefix + "service/" + service + "/listener/" + listener,
		"/services/" + escaped(strings.Replace(prefix, "aws", "aws-cn", 1)+"service/"+service):            prefix + "service/" + service,
		"/services/" + escaped("arn:aws:vpc-lattice:eu-west-1:444455556666:service/"+service):             "arn:aws:vpc-lattice:eu-west-1:444455556666:service/" + service,
		"/tags/" + escaped("arn:aws-cn:vpc-lattice:us-west-2:123456789012:service/"+service):              prefix + "service/" + service,
		"/authpolicy/" + service: prefix + "service/" + service,
		"/authpolicy/" + escaped("arn:aws-cn:vpc-lattice:us-west-2:123456789012:servicenetwork/sn-0123456789abcdef0"): prefix + "servicenetwork/sn-0123456789abcdef0",
	} {
		a := &asked{}
		send(t, api.NewHandler(api.Config{Operations: apitest.Operations(done), Authenticator: anybody{}, Authorizer: a}), get(target))
		if len(a.calls) != 1 || a.calls[0].Resource != want {
			t.Errorf("%s is authorized as %+v, want %s", target, a.calls, want)
		}
	}
}
