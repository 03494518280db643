package server

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"

	"trellis/internal/configuration"
	"trellis/internal/policy"
)

// assuming returns a configuration with the credentials of a role that is assumed with those of another.
func assuming(node *running, cfg aws.Config, arn string, tags ...types.Tag) aws.Config {
	client := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint, o.Retryer = &node.url, aws.NopRetryer{} })
	assumed := cfg.Copy()
	assumed.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(client, arn, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Tags = "test", tags
	}))
	return assumed
}

func whoAmI(t *testing.T, node *running, cfg aws.Config) (string, error) {
	t.Helper()
	client := sts.NewFromConfig(cfg, func(o *sts.Options) { o.BaseEndpoint, o.Retryer = &node.url, aws.NopRetryer{} })
	out, err := client.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return *out.Arn, nil
}

func TestRoleInTheDocumentationCanBeAssumed(t *testing.T) {
	node, credentials, _ := documented(t)
	operator, blue := profile(t, credentials, "operator"), profile(t, credentials, "blue")
	const role = "arn:aws:iam::111122223333:role/deploy"
	session := assuming(node, operator, role, types.Tag{Key: aws.String("team"), Value: aws.String("blue")})
	arn, err := whoAmI(t, node, session)
	if err != nil || arn != "arn:aws:sts::111122223333:assumed-role/deploy/test" {
		t.Fatalf("the session is %q, %v", arn, err)
	}
	// It may do what the role may, for the team in its tags.
	c := node.client(session)
	if _, err := c.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String("paint"), Tags: map[string]string{"team": "blue"}}); err != nil {
		t.Errorf("its own service: %v", err)
	}
	if got := code(t, second(c.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String("brush"), Tags: map[string]string{"team": "red"}}))); got != "AccessDeniedException" {
		t.Errorf("another team's service is answered %q", got)
	}
	if _, err := whoAmI(t, node, assuming(node, blue, role)); err == nil || !strings.Contains(err.Error(), "is not authorized to perform: sts:AssumeRole on resource: "+role) {
		t.Errorf("who may not assume the role is told: %v", err)
	}
	// With another secret, or without its token, the session is unknown.
	keys, err := session.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*aws.Credentials){
		"another secret": func(c *aws.Credentials) { c.SecretAccessKey += "x" },
		"no token":       func(c *aws.Credentials) { c.SessionToken = "" },
	} {
		other, changed := session.Copy(), keys
		change(&changed)
		other.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return changed, nil })
		if arn, err := whoAmI(t, node, other); err == nil {
			t.Errorf("%s: the caller is %s", name, arn)
		}
	}
}

func TestAnyRoleCanBeAssumedInDev(t *testing.T) {
	node := start(t, "dev")
	cfg := aws.Config{Region: "us-west-2", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "444455556666", SecretAccessKey: "any"}, nil
	})}
	session := assuming(node, cfg, "arn:aws:iam::111122223333:role/app")
	arn, err := whoAmI(t, node, session)
	if err != nil || arn != "arn:aws:sts::111122223333:assumed-role/app/test" {
		t.Errorf("the session is %q, %v", arn, err)
	}
	out, err := node.client(session).CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: aws.String("paint")})
	if err != nil || !strings.Contains(*out.Arn, ":111122223333:") {
		t.Errorf("the session's service: %v", err)
	}
}

func TestPrincipalsOfAFileKeepTheirPoliciesInDev(t *testing.T) {
	_, credentials, _ := documented(t)
	node := start(t, "dev", "--credentials", credentials)
	blue := profile(t, credentials, "blue")
	if arn, err := whoAmI(t, node, blue); err != nil || arn != "arn:aws:iam::111122223333:user/pipelines/blue" {
		t.Errorf("a key of the file is %q, %v", arn, err)
	}
	// In dev anybody may assume it.
	session, err := assuming(node, blue, "arn:aws:iam::111122223333:role/deploy").Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const request = "vpc-lattice-svcs:Invoke"
	allows := func(accessKeyID string) bool {
		p, ok := node.server.principals.Principal(accessKeyID)
		if !ok {
			p = node.server.principals.Anybody(accessKeyID)
		}
		decision, _ := p.Policies.Evaluate(&policy.Request{Caller: p.Caller(), Action: request, Resource: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0", Path: "/"})
		return decision.Outcome == policy.Allowed
	}
	for key, want := range map[string]bool{"AKIAI44QH8DHBEXAMPLE": false, session.AccessKeyID: false, "AKIAIOSFODNN7EXAMPLE": true, "anything": true} {
		if got := allows(key); got != want {
			t.Errorf("%s may %s: %t, want %t", key, request, got, want)
		}
	}
	if err := func() error {
		_, err := open(t.Context(), Config{Configuration: configuration.Configuration{Dev: true, Credentials: credentials + "-none", Common: node.server.cfg.Common}, Log: node.server.log})
		return err
	}(); err == nil || !strings.Contains(err.Error(), "--credentials") {
		t.Errorf("a file that is not there: %v", err)
	}
}
