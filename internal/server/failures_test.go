package server

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/test/trellistest"
)

func TestWrongSignaturesCountForAllServicesAndAreLogged(t *testing.T) {
	node, credentials, auditLog := documented(t)
	cfg := profile(t, credentials, "blue")
	wrong := cfg.Copy()
	wrong.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		keys, err := cfg.Credentials.Retrieve(ctx)
		keys.SecretAccessKey = "wrong"
		return keys, err
	})
	forSTS := sts.NewFromConfig(wrong, func(o *sts.Options) { o.BaseEndpoint, o.Retryer = &node.url, aws.NopRetryer{} })
	ask := func() string {
		return code(t, second(forSTS.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})))
	}
	list := func(cfg aws.Config) string {
		return code(t, second(node.client(cfg).ListServices(t.Context(), &vpclattice.ListServicesInput{})))
	}
	if first, next := list(wrong), ask(); first != "SignatureDoesNotMatch" || next != first {
		t.Errorf("the first wrong signatures are answered %s and %s", first, next)
	}
	var last string
	for range 1000 { // Enough for a machine on which each takes a while: a token comes back each second.
		if last = list(wrong); last == "ThrottlingException" {
			break
		}
	}
	if atSTS := ask(); last != "ThrottlingException" || atSTS != last {
		t.Errorf("after many the API answers %s and STS %s", last, atSTS)
	}
	if got := list(profile(t, credentials, "operator")); got != "" {
		t.Errorf("another principal at the same address is answered %s", got)
	}
	var codes []string
	trellistest.Await(t, func() bool {
		codes = nil
		for _, e := range readAudit(t, auditLog) {
			if e.Operation == "Authenticate" && e.AccessKeyID == "AKIAI44QH8DHBEXAMPLE" && e.SourceIP == "127.0.0.1" && e.Count == 1 {
				codes = append(codes, e.ErrorCode)
			}
		}
		return slices.Equal(codes, []string{"SignatureDoesNotMatch", "ThrottlingException"})
	}, "the audit log has both failures")
	if log := node.log.String(); !strings.Contains(log, "errorCode=SignatureDoesNotMatch count=1") {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
}
