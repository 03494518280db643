package functions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/internal/inventory"
	"trellis/internal/inventory/amazon"
	"trellis/test/trellistest"
)

// anyCredentials gives AWS's tools keys, and hides the keys of the user who runs the test.
func anyCredentials(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
}

// motoFacts are what moto_inventory.py has made.
type motoFacts struct {
	VPC, Running, Stopped, Balancer, BalancerName, Certificate, Function, Group string
}

func fillMoto(t *testing.T, url string) (facts motoFacts) {
	t.Helper()
	if err := json.Unmarshal(python(t, "python/moto_inventory.py", url), &facts); err != nil {
		t.Fatal(err)
	}
	return facts
}

// TestWhatAWSKnowsIsRead asks a moto server for all that there is.
func TestWhatAWSKnowsIsRead(t *testing.T) {
	t.Setenv("MOTO_ACM_VALIDATION_WAIT", "-1") // Certificates are issued when they are looked at.
	url := trellistest.StartMoto(t)
	made := fillMoto(t, url)
	// EC2 by its own variable, the rest by that for all.
	t.Setenv("AWS_ENDPOINT_URL", url)
	t.Setenv("AWS_ENDPOINT_URL_EC2", url)
	var asked atomic.Value
	sources, err := amazon.Sources(t.Context(), amazon.Config{
		Services: []string{"ec2", "elbv2", "acm", "lambda"}, Regions: []string{"us-west-2"},
		Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			asked.Store(name)
			return []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.8")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	facts := map[string]*inventory.Facts{}
	for _, source := range sources {
		if facts[source.Service], err = source.Read(t.Context()); err != nil {
			t.Fatalf("%s: %v", source.Service, err)
		}
	}
	instances := facts["ec2"].Instances
	if len(instances) != 2 || !facts["ec2"].ListsInstances {
		t.Fatalf("instances: %+v", instances)
	}
	for _, instance := range instances {
		want := inventory.Instance{ID: made.Running, Address: netip.MustParseAddr("127.0.0.10"), VPC: made.VPC, State: "running", SecurityGroups: []string{made.Group}}
		if instance.ID == made.Stopped {
			want.ID, want.Address, want.State = made.Stopped, netip.MustParseAddr("127.0.0.11"), "stopped"
		}
		if !(instance.ID == want.ID && instance.Address == want.Address && instance.VPC == want.VPC && instance.State == want.State && slices.Equal(instance.SecurityGroups, want.SecurityGroups)) {
			t.Errorf("instance %+v, want %+v", instance, want)
		}
	}
	vpc := slices.IndexFunc(facts["ec2"].VPCs, func(v inventory.VPC) bool { return v.ID == made.VPC })
	if vpc < 0 || !slices.Equal(facts["ec2"].VPCs[vpc].CIDRs, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/16")}) || !strings.HasPrefix(facts["ec2"].VPCs[vpc].DefaultSecurityGroup, "sg-") {
		t.Errorf("VPCs %+v", facts["ec2"].VPCs)
	}
	group := slices.IndexFunc(facts["ec2"].SecurityGroups, func(g inventory.SecurityGroup) bool { return g.ID == made.Group })
	if group < 0 || len(facts["ec2"].SecurityGroups[group].Ingress) != 1 {
		t.Fatalf("security groups %+v", facts["ec2"].SecurityGroups)
	}
	if rule := facts["ec2"].SecurityGroups[group].Ingress[0]; rule.FirstPort != 80 || rule.LastPort != 80 || !slices.Equal(rule.Networks, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}) {
		t.Errorf("rule %+v", rule)
	}
	if rules := facts["ec2"].SecurityGroups[group].Egress; len(rules) != 1 || rules[0].FirstPort != 1 || rules[0].LastPort != 65535 || !slices.Equal(rules[0].Networks, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}) {
		t.Errorf("egress %+v", rules)
	}
	want := inventory.LoadBalancer{ARN: made.Balancer, Address: netip.MustParseAddr("10.0.0.8"), VPC: made.VPC}
	if got := facts["elbv2"].LoadBalancers; len(got) != 1 || got[0] != want || asked.Load() != made.BalancerName || !facts["elbv2"].ListsLoadBalancers {
		t.Errorf("load balancers %+v, asked for %v", got, asked.Load())
	}
	if got := facts["acm"].Certificates; len(got) != 1 || got[0].ARN != made.Certificate || got[0].TLS.Leaf.VerifyHostname("shop.example.test") != nil || got[0].TLS.PrivateKey != nil {
		t.Errorf("certificates %+v", got)
	}
	if got := facts["lambda"].Functions; len(got) != 1 || got[0].ARN != made.Function || !got[0].IsElsewhere {
		t.Errorf("functions %+v", got)
	}
}

// TestInstancesThatEC2KnowsCarryTraffic runs the program with a moto server as AWS.
func TestInstancesThatEC2KnowsCarryTraffic(t *testing.T) {
	trellistest.NeedAddress(t, "127.0.0.10")
	url := trellistest.StartMoto(t)
	made := fillMoto(t, url)
	t.Setenv("AWS_ENDPOINT_URL_EC2", url)
	listener, err := net.Listen("tcp", "127.0.0.10:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the instance") }))
	backend.Listener.Close()
	backend.Listener = listener
	backend.Start()
	t.Cleanup(backend.Close)
	port := aws.Int32(int32(listener.Addr().(*net.TCPAddr).Port))

	n := start(t, "--inventory-from", "ec2")
	if _, err := n.client.CreateServiceNetworkVpcAssociation(t.Context(), &vpclattice.CreateServiceNetworkVpcAssociationInput{
		ServiceNetworkIdentifier: &n.network, VpcIdentifier: &made.VPC, SecurityGroupIds: []string{made.Group},
	}); err != nil {
		t.Fatal(err)
	}
	s := n.behind("machines", &vpclattice.CreateTargetGroupInput{Type: types.TargetGroupTypeInstance,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: port, VpcIdentifier: &made.VPC},
	}, types.Target{Id: &made.Running})
	if r := s.get("/"); r.StatusCode != 200 || string(r.body) != "the instance" {
		t.Errorf("%d %v: %s", r.StatusCode, r.Header, r.body)
	}
	out, err := n.client.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &s.groupID, Targets: []types.Target{
		{Id: &made.Stopped}, {Id: aws.String("i-0123456789abcdef0")},
	}})
	if err != nil || len(out.Unsuccessful) != 2 || !strings.Contains(*out.Unsuccessful[0].FailureMessage, "stopped") || *out.Unsuccessful[1].FailureCode != "UnsupportedTarget" {
		t.Errorf("%v, %+v", err, out)
	}
	response, err := http.Get(n.Admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var ready struct{ Inventory []inventory.SourceReport }
	if err := json.NewDecoder(response.Body).Decode(&ready); err != nil || len(ready.Inventory) != 1 || ready.Inventory[0].Service != "ec2" || ready.Inventory[0].ReadAt.IsZero() || ready.Inventory[0].Problem != "" {
		t.Errorf("/readyz: %v, %+v", err, ready)
	}
}

// TestNothingIsSentToAWSWithoutBeingAsked starts a node whose environment has all that is needed to call AWS.
func TestNothingIsSentToAWSWithoutBeingAsked(t *testing.T) {
	anyCredentials(t)
	var requests atomic.Int64
	cloud := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer cloud.Close()
	t.Setenv("AWS_ENDPOINT_URL", cloud.URL)
	n := start(t, "--inventory", writeInventory(t, "vpcs: [{id: vpc-0123456789abcdef0, cidrs: [127.0.0.0/8]}]\n"))
	n.behind("machines", &vpclattice.CreateTargetGroupInput{Type: types.TargetGroupTypeInstance,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolHttp, Port: aws.Int32(80), VpcIdentifier: aws.String("vpc-0123456789abcdef0")},
	}, types.Target{Id: aws.String("i-0123456789abcdef0")})
	if sent := requests.Load(); sent > 0 {
		t.Errorf("%d requests were sent", sent)
	}
	// With the flag, requests are sent there. What the responses lack is reported, and does not keep the node from starting.
	n = start(t, "--inventory-from", "aws")
	trellistest.Await(t, func() bool { return requests.Load() >= 4 }, "all four services are asked")
	trellistest.Await(t, func() bool { return strings.Contains(n.Log(), "AWS cannot be asked") }, "the log tells what is wrong")
}

// TestEC2IsAskedPageByPageAndSignedFor has an EC2 that answers in pages, and one that refuses.
func TestEC2IsAskedPageByPageAndSignedFor(t *testing.T) {
	anyCredentials(t)
	var refuse atomic.Bool
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "/us-west-2/ec2/aws4_request") {
			t.Errorf("signed %q", r.Header.Get("Authorization"))
		}
		if refuse.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors><RequestID>1</RequestID></Response>`)
			return
		}
		item := func(set, id string) string { return fmt.Sprintf("<%s><item><%s/></item></%s>", set, id, set) }
		body := item("vpcSet", "vpcId")
		if r.FormValue("Action") == "DescribeInstances" {
			id, next := "i-11111111", "<nextToken>more</nextToken>"
			if r.FormValue("NextToken") == "more" {
				id, next = "i-22222222", ""
			}
			body = "<reservationSet><item><instancesSet><item><instanceId>" + id + "</instanceId><instanceState><name>running</name></instanceState><ipv6Address>fd00::1</ipv6Address></item></instancesSet></item></reservationSet>" + next
		}
		fmt.Fprintf(w, `<%sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">%s</%sResponse>`, r.FormValue("Action"), body, r.FormValue("Action"))
	}))
	defer cloud.Close()
	t.Setenv("AWS_ENDPOINT_URL_EC2", cloud.URL)
	sources, err := amazon.Sources(t.Context(), amazon.Config{Services: []string{"ec2"}, Regions: []string{"us-west-2"}})
	if err != nil {
		t.Fatal(err)
	}
	facts, err := sources[0].Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(facts.Instances) != 2 || facts.Instances[1].ID != "i-22222222" || facts.Instances[0].Address != netip.MustParseAddr("fd00::1") {
		t.Errorf("instances %+v", facts.Instances)
	}
	refuse.Store(true)
	if _, err := sources[0].Read(t.Context()); err == nil || err.Error() != "RequestLimitExceeded: Request limit exceeded." {
		t.Errorf("the error is %v", err)
	}
}
