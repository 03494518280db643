package stories_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"trellis/test/trellistest"
)

const roleFile = `[admin]
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
trellis_account = 111122223333
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}

[deploy]
trellis_account = 111122223333
trellis_trust_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole"}]}
`

// TestRoleIsAssumedOnOneNodeAndKnownToAllAndAfterTheyStartAgain uses temporary credentials on the node that issued them, on
// another, and on one that starts afterwards.
func TestRoleIsAssumedOnOneNodeAndKnownToAllAndAfterTheyStartAgain(t *testing.T) {
	t.Parallel()
	endpoint := startCluster(t)[0].endpoint
	keys := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(keys, []byte(roleFile), 0o600); err != nil {
		t.Fatal(err)
	}
	program := trellistest.Build(t)
	startNode := func() string {
		t.Helper()
		return trellistest.Start(t, program, "serve", "--etcd-endpoints", endpoint, "--data-dir", t.TempDir(), "--credentials", keys).API
	}
	client := func(api string, provider aws.CredentialsProvider) *sts.Client {
		cfg := must(config.LoadDefaultConfig(t.Context(), config.WithRegion("us-west-2"), config.WithCredentialsProvider(provider)))(t)
		return sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint, o.Retryer = &api, aws.NopRetryer{} })
	}
	first, second := startNode(), startNode()
	admin := credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
	role, name := "arn:aws:iam::111122223333:role/deploy", "one"
	out := must(client(first, admin).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name}))(t)
	session := credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	knows := func(api string) bool {
		identity, err := client(api, session).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		// A client that asks too early, and then too often, is told to wait.
		if err != nil && !strings.Contains(err.Error(), "InvalidClientTokenId") && !strings.Contains(err.Error(), "ThrottlingException") {
			t.Fatal(err)
		}
		return err == nil && *identity.Arn == "arn:aws:sts::111122223333:assumed-role/deploy/one"
	}
	if !knows(first) {
		t.Error("the node that gave the credentials does not know them")
	}
	trellistest.Await(t, func() bool { return knows(second) }, "another node knows the session")
	if !knows(startNode()) {
		t.Error("a node that starts does not know the session")
	}
}
