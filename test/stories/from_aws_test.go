package stories_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/google/go-cmp/cmp"

	"trellis/test/trellistest"
)

// untold are lines of a network that no operation returns: when targets were registered and resource policies were put, and the
// numbers of addresses.
var untold = regexp.MustCompile(`(?m)^ *(- )?(number|registrations|registeredAt|addressNumber): .*\n|(^    policy: .*CreateServiceNetworkServiceAssociation.*\n)    createdAt: .*\n    lastUpdatedAt: .*\n`)

// TestAnAccountIsReadThroughItsAPIAlone uses another Trellis as AWS. Everything that it has is imported.
func TestAnAccountIsReadThroughItsAPIAlone(t *testing.T) {
	t.Parallel()
	program := trellistest.Build(t)
	start := func(args ...string) (*trellistest.Process, []string) {
		p := trellistest.Start(t, program, "dev", append(args, "--account", "123456789012", "--port-map", "80=0,443=0,0=0", "--dns-addr", "none")...)
		return p, []string{"TRELLIS_ADMIN=" + p.Admin}
	}
	inventory := filepath.Join(t.TempDir(), "inventory.yaml")
	err := os.WriteFile(inventory, []byte(`vpcs:
  - {id: vpc-0123456789abcdef0, cidrs: [10.0.0.0/16]}
vpcEndpoints:
  - {id: vpce-0123456789abcdef0, vpc: vpc-0123456789abcdef0, type: Resource, resourceConfiguration: "arn:aws:vpc-lattice:us-west-2:123456789012:resourceconfiguration/rcfg-00000000000000003"}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	account, from := start("--load", "testdata/everything.yaml", "--inventory", inventory)
	theirs := want(t, program, from, 0, "trellis: 1", "export")
	aws := []string{
		"AWS_ENDPOINT_URL_VPC_LATTICE=" + account.API, "AWS_ACCESS_KEY_ID=123456789012", "AWS_SECRET_ACCESS_KEY=any",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=", "AWS_PROFILE=",
	}

	_, there := start()
	_, notes, code := trellis(t, program, append(there, aws...), "import", "--from-aws", "--region", "us-west-2")
	if code != 0 {
		t.Fatalf("importing ends with %d: %s", code, notes)
	}
	ours := want(t, program, there, 0, "trellis: 1", "export")
	if diff := cmp.Diff(untold.ReplaceAllString(theirs, "$3"), untold.ReplaceAllString(ours, "$3")); diff != "" {
		t.Errorf("what was imported differs (-theirs +ours):\n%s", diff)
	}
	for _, text := range []string{
		"the keys of certificates cannot be read: arn:aws:acm:us-west-2:123456789012:certificate/",
		"the code of functions cannot be read: arn:aws:lambda:us-west-2:123456789012:function:hello",
		"VPC Lattice does not say which networks VPCs have: vpc-0123456789abcdef1",
	} {
		if !strings.Contains(notes, text) {
			t.Errorf("the notes lack %q:\n%s", text, notes)
		}
	}

	// Into a file, with targets elsewhere; and from there into another account.
	folder := t.TempDir()
	file, lines := filepath.Join(folder, "network.yaml"), filepath.Join(folder, "map")
	if err := os.WriteFile(lines, []byte("# where they run here\n10.0.0.2 = 127.0.0.2\n\n10.9.9.9=127.0.0.9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, program, aws, 0, "--map names targets that do not exist: 10.9.9.9",
		"import", "--from-aws", "--region", "us-west-2", "--map", "10.0.0.1:80=127.0.0.1:9001", "--map-file", lines, "--to", file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	members := "    members:\n      - id: 127.0.0.1\n        port: 9001\n      - id: 127.0.0.2\n        port: 8080\n      - id: 10.0.0.3\n        port: 80\n"
	if !strings.Contains(string(text), members) {
		t.Errorf("the file lacks\n%s:\n%s", members, text)
	}
	if out := want(t, program, aws, 0, "", "import", "--from-aws", "--region", "us-west-2", "--map", "10.0.0.1:80=127.0.0.1:9001", "--map-file", lines, "--to", "-"); out != string(text) {
		t.Errorf("to standard output it writes\n%s\nand to a file\n%s", out, text)
	}
	_, elsewhere := start()
	want(t, program, elsewhere, 0, "records of account 123456789012 in us-west-2 are stored", "import", file)

	for _, wrong := range []struct {
		text string
		args []string
	}{
		{"no Region is given", []string{"--from-aws"}},
		{"--from-aws reads no file", []string{"--from-aws", file}},
		{"give a file", nil},
		{"are for --from-aws", []string{file, "--to", "-"}},
		{`--map "10.0.0.1" must be a target and where it is instead`, []string{"--from-aws", "--map", "10.0.0.1"}},
		{`the port is "0"`, []string{"--from-aws", "--map", "10.0.0.1:0=127.0.0.1"}},
		{"10.0.0.1 is mapped to a and to b", []string{"--from-aws", "--map", "10.0.0.1=a", "--map", "10.0.0.1=b"}},
	} {
		want(t, program, aws, 2, wrong.text, append([]string{"import"}, wrong.args...)...)
	}
	want(t, program, aws, 1, "the account has nothing in VPC Lattice in eu-west-1", "import", "--from-aws", "--region", "eu-west-1", "--to", "-")
}

// TestAnAccountOfMotoIsRead reads what stands in for AWS, has not all operations, and has ids of its own.
func TestAnAccountOfMotoIsRead(t *testing.T) {
	program := trellistest.Build(t)
	moto := trellistest.StartMoto(t)
	ctx := t.Context()
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("us-west-2"), config.WithBaseEndpoint(moto))
	if err != nil {
		t.Fatal(err)
	}
	api := vpclattice.NewFromConfig(cfg)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	network, err := api.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home")})
	must(err)
	service, err := api.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new("shop"), Tags: map[string]string{"team": "blue"}})
	must(err)
	group, err := api.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: new("backends"), Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: new(int32(80)), VpcIdentifier: new("vpc-0123456789abcdef0")}})
	must(err)
	_, err = api.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: new("http"), Protocol: types.ListenerProtocolHttp, Port: new(int32(80)),
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}}})
	must(err)
	_, err = api.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id})
	must(err)
	_, err = api.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{VpcIdentifier: new("vpc-0123456789abcdef0"), ServiceNetworkIdentifier: network.Id})
	must(err)

	node := trellistest.Start(t, program, "dev", "--port-map", "80=0,443=0,0=0", "--dns-addr", "none")
	here := []string{"TRELLIS_ADMIN=" + node.Admin, "AWS_ENDPOINT_URL=" + moto, "AWS_MAX_ATTEMPTS=1"}
	out, notes, code := trellis(t, program, here, "import", "--from-aws", "--region", "us-west-2")
	if code != 0 || !strings.Contains(out, "of account 123456789012 in us-west-2 are stored") {
		t.Fatalf("importing ends with %d: %s%s", code, out, notes)
	}
	for _, text := range []string{"the endpoint lacks these operations, so what they would return is missing: ", "ListRules", "ids do not have AWS's form"} {
		if !strings.Contains(notes, text) {
			t.Errorf("the notes lack %q:\n%s", text, notes)
		}
	}
	exported := want(t, program, here, 0, "trellis: 1", "export", "--account", "123456789012")
	for _, text := range []string{"name: home", "name: shop", "team: blue", "name: backends", "isDefault: true", "serviceNetworkServiceAssociations:", "vpcId: vpc-0123456789abcdef0"} {
		if !strings.Contains(exported, text) {
			t.Errorf("the network lacks %q:\n%s", text, exported)
		}
	}
}
