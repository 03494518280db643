package functions_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
)

// TestUpgradeLetsFunctionsFinishTheirEvents has a new process take over while a function is at work: its process ends with
// the old one, but not before it has responded, and the new process starts one of its own.
func TestUpgradeLetsFunctionsFinishTheirEvents(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(keys, []byte(`[default]
aws_access_key_id = AKIDEXAMPLE
aws_secret_access_key = secret
trellis_account = `+account+`
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
	})
	n := startCommand(t, "serve", credentials, "--data-dir", t.TempDir(), "--credentials", keys, "--inventory", writeInventory(t, "functions:\n  - arn: %s\n    command: [%s]\n", functionARN("slow"), buildProgram(t)))
	s := n.function("slow", types.LambdaEventStructureVersionV2, functionARN("slow"))
	answered := s.getSlowly()
	n.Upgrade()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if r := s.get("/after"); r.StatusCode != 200 {
		t.Errorf("after the upgrade a request is answered %d %v", r.StatusCode, r.Header)
	}
}
