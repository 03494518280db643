package functions_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/google/go-cmp/cmp"
)

// guard makes a service admit everybody whom a policy may admit.
func (s *service) guard(t *testing.T) {
	t.Helper()
	policy := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`
	if _, err := s.n.client.PutAuthPolicy(t.Context(), &vpclattice.PutAuthPolicyInput{ResourceIdentifier: &s.arn, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.n.client.UpdateService(t.Context(), &vpclattice.UpdateServiceInput{ServiceIdentifier: &s.arn, AuthType: types.AuthTypeAwsIam}); err != nil {
		t.Fatal(err)
	}
}

// assumed returns the credentials of a role, with a tag of the session.
func (n *node) assumed(t *testing.T) aws.Credentials {
	t.Helper()
	anybody := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "anybody", SecretAccessKey: "any"}, nil
	})
	client := sts.New(sts.Options{Region: "us-west-2", BaseEndpoint: &n.API, Credentials: anybody})
	keys, err := stscreds.NewAssumeRoleProvider(client, "arn:aws:iam::111122223333:role/app/web", func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Tags = "i-1", []ststypes.Tag{{Key: aws.String("team"), Value: aws.String("blue")}}
	}).Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// signedGet sends a request that is signed with credentials, if there are any.
func (s *service) signedGet(t *testing.T, keys *aws.Credentials, http2 bool) []byte {
	t.Helper()
	scheme := "http"
	if http2 {
		scheme = "https"
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", scheme+"://"+s.host+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("x-amzn-lattice-identity", "Principal=me")
	if keys != nil {
		r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		if err := v4.NewSigner().SignHTTP(t.Context(), *keys, r, "UNSIGNED-PAYLOAD", "vpc-lattice-svcs", "us-west-2", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.send(s.client(http2), http2, "GET", "/", r.Header, nil)
	if err != nil || got.StatusCode != 200 {
		t.Fatalf("%v, %v: %s", got.Response, err, got.body)
	}
	return got.body
}

// TestTargetsOfEveryKindLearnWhichRoleHasSigned has a role assumed, with a tag, by STS on the API port.
func TestTargetsOfEveryKindLearnWhichRoleHasSigned(t *testing.T) {
	n := start(t, "--inventory", writeInventory(t, `
vpcs:
  - id: vpc-0123456789abcdef0
    cidrs: [127.0.0.0/8]
functions:
  - arn: %s
    command: [%s]
    directory: %s
`, functionARN("go"), buildProgram(t), t.TempDir()))
	n.associate("vpc-0123456789abcdef0")
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said := map[string]string{}
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amzn-") && name != "X-Amzn-Requestid" && name != "X-Amzn-Lattice-Target" {
				said[strings.ToLower(name)] = r.Header.Get(name)
			}
		}
		json.NewEncoder(w).Encode(map[string]any{"identity": said})
	}))
	defer backend.Close()
	_, port, _ := strings.Cut(backend.Listener.Addr().String(), ":")
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]*service{
		"V1": n.function("event-v1", types.LambdaEventStructureVersionV1, functionARN("go")),
		"V2": n.function("event-v2", types.LambdaEventStructureVersionV2, functionARN("go")),
		"HTTP": n.behind("plain-http", &vpclattice.CreateTargetGroupInput{Type: types.TargetGroupTypeIp, Config: &types.TargetGroupConfig{
			Protocol: types.TargetGroupProtocolHttp, Port: aws.Int32(int32(number)), VpcIdentifier: aws.String("vpc-0123456789abcdef0"),
		}}, types.Target{Id: aws.String("127.0.0.1")}),
	}
	keys := n.assumed(t)
	const (
		vpc     = "arn:aws:ec2:us-west-2:" + account + ":vpc/vpc-0123456789abcdef0"
		session = "arn:aws:sts::111122223333:assumed-role/web/i-1"
		header  = "Principal=" + session + "; PrincipalOrgID=; PrincipalOrgPaths=; SessionName=i-1; Type=AWS_IAM"
	)
	for _, test := range []struct {
		kind string
		keys *aws.Credentials
		want map[string]any
	}{
		{"V1", nil, map[string]any{"x-amzn-lattice-identity": nil, "x-amzn-lattice-network": "SourceVpcArn=" + vpc}},
		{"V1", &keys, map[string]any{"x-amzn-lattice-identity": header, "x-amzn-lattice-network": "SourceVpcArn=" + vpc}},
		{"V2", nil, map[string]any{"sourceVpcArn": vpc}},
		{"V2", &keys, map[string]any{"sourceVpcArn": vpc, "type": "AWS_IAM", "principal": session, "sessionName": "i-1"}},
		{"HTTP", nil, map[string]any{"x-amzn-lattice-network": "SourceVpcArn=" + vpc, "x-amzn-source-vpc": "vpc-0123456789abcdef0"}},
		{"HTTP", &keys, map[string]any{"x-amzn-lattice-network": "SourceVpcArn=" + vpc, "x-amzn-source-vpc": "vpc-0123456789abcdef0",
			"x-amzn-lattice-identity": header, "x-amzn-lattice-identity-tags": "principal=" + session + ";principalorgid=;principalorgpath=;team=blue"}},
	} {
		services[test.kind].guard(t)
		for _, http2 := range []bool{false, true} {
			var got struct{ Identity map[string]any }
			if err := json.Unmarshal(services[test.kind].signedGet(t, test.keys, http2), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.Identity); diff != "" {
				t.Errorf("%s, signed: %t, by HTTP/2: %t (-want +got):\n%s", test.kind, test.keys != nil, http2, diff)
			}
		}
	}
}
