package server

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/test/trellistest"
)

// reader is a person with a browser that knows no JavaScript.
type reader struct {
	*http.Client
	t    *testing.T
	base string
}

func (r *running) reader(t *testing.T) *reader {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &reader{&http.Client{Jar: jar}, t, "http://" + r.server.adminListener.Addr().String()}
}

// home is the part of the console that most tests are about.
const home = "/console/000000000000/us-west-2/"

// read returns a page, and the status of its response.
func (r *reader) read(path string) (page string, status int) {
	r.t.Helper()
	response, err := r.Get(r.base + path)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.text(response)
}

func (r *reader) text(response *http.Response) (page string, status int) {
	r.t.Helper()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text), response.StatusCode
}

var hidden = regexp.MustCompile(`name="token" value="([^"]+)"`)

// send fills in a form of a page and sends it, and returns the page that comes then.
func (r *reader) send(page, action string, fields url.Values) (then string, status int) {
	r.t.Helper()
	text, _ := r.read(page)
	fields = cloned(fields)
	if token := hidden.FindStringSubmatch(text); token != nil {
		fields.Set("token", token[1])
	}
	fields.Set("back", page)
	response, err := r.PostForm(r.base+action, fields)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.text(response)
}

// startDemo runs a node with the sample network.
func startDemo(t *testing.T) *running {
	t.Helper()
	return start(t, "dev", "--demo", "--port-map", fmt.Sprintf("80=%d,443=%d", trellistest.FreePort(t), trellistest.FreePort(t)))
}

func cloned(fields url.Values) url.Values {
	all := url.Values{}
	for name, values := range fields {
		all[name] = values
	}
	return all
}

// wants checks that a page has some texts.
func (r *reader) wants(path string, texts ...string) {
	r.t.Helper()
	page, status := r.read(path)
	if status != http.StatusOK {
		r.t.Errorf("%s is answered %d:\n%s", path, status, page)
	}
	for _, text := range texts {
		if !strings.Contains(page, text) {
			r.t.Errorf("%s does not have %q:\n%s", path, text, page)
		}
	}
}

// ids returns the ids of the demo's service and of its target group blue.
func (r *running) ids(t *testing.T) (service, blue string, client *vpclattice.Client) {
	t.Helper()
	client = r.client(anybody())
	services, err := client.ListServices(t.Context(), &vpclattice.ListServicesInput{})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := client.ListTargetGroups(t.Context(), &vpclattice.ListTargetGroupsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.Items {
		if *g.Name == "demo-blue" {
			blue = *g.Id
		}
	}
	return *services.Items[0].Id, blue, client
}

func TestBrowsersGetTheConsoleAndOthersTheText(t *testing.T) {
	node := start(t, "dev")
	r := node.reader(t)
	if page, _ := r.read("/"); !strings.HasPrefix(page, "This is the admin port") {
		t.Errorf("curl gets %q", page)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	response, err := r.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	page, status := r.text(response)
	if response.Request.URL.Path != home || status != http.StatusOK || !strings.Contains(page, "<h1>Overview</h1>") {
		t.Errorf("a browser gets %d at %s:\n%s", status, response.Request.URL, page)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
	} {
		if got := response.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s is %q, without %q", name, got, want)
		}
	}
	if strings.Contains(page, " style=") || strings.Contains(page, " onclick") || strings.Contains(page, "<script>") {
		t.Errorf("the page has what its policy forbids:\n%s", page)
	}
	for _, path := range []string{home + "nothing", home + "services/svc-00000000000000000", "/console/1/us-west-2/", "/console/static/none.css"} {
		if _, status := r.read(path); status != http.StatusNotFound {
			t.Errorf("%s is answered %d", path, status)
		}
	}
}

func TestPagesShowWhatThereIs(t *testing.T) {
	node := startDemo(t)
	r := node.reader(t)
	service, blue, client := node.ids(t)
	trellistest.Await(t, func() bool { page, _ := r.read(home); return strings.Contains(page, "3 healthy") }, "all targets are healthy")
	r.wants(home, "Nothing is wrong that this node knows of.", `<strong>1</strong>`, "Listener port 80")
	r.wants(home+"service-networks", ">demo</a>", "create-service-network")
	r.wants(home+"services", ">shop</a>", "HTTP:80, HTTPS:443")
	r.wants(home+"services/"+service, "path begins with /orders", "header x-version is green", `value="75"`, "75 %", "update-rule", "curl -i -H &#39;Host: shop-")
	r.wants(home+"target-groups", "demo-blue", "1 healthy")
	r.wants(home+"target-groups/"+blue, "Healthy", "200 OK", "1 success", "every other request", "register-targets")
	networks, err := client.ListServiceNetworks(t.Context(), &vpclattice.ListServiceNetworksInput{})
	if err != nil {
		t.Fatal(err)
	}
	r.wants(home+"service-networks/"+*networks.Items[0].Id, ">shop</a>", "No VPC is associated.")

	// Problems come first, and lead to what has them.
	if _, err := client.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: &blue, Targets: []types.Target{{Id: new("127.0.0.1"), Port: new(int32(9))}}}); err != nil {
		t.Fatal(err)
	}
	trellistest.Await(t, func() bool { page, _ := r.read(home); return strings.Contains(page, "<h2>Problems</h2>") }, "the target that nobody serves is a problem")
	r.wants(home, `href="`+home+"target-groups/"+blue+`">Target group demo-blue`)
	r.wants(home+"target-groups?q=unhealthy", "1 of 2 unhealthy", "demo-blue", "1–1 of 1 that match, 3 in all")
	page, _ := r.read(home + "target-groups")
	if strings.Index(page, "demo-blue") > strings.Index(page, "demo-orders") {
		t.Error("what is wrong does not come first")
	}
}

func TestFailedExchangesAreShownWithTheirReason(t *testing.T) {
	node := startDemo(t)
	r := node.reader(t)
	service, blue, client := node.ids(t)
	group, err := client.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{Name: new("dead"), Type: types.TargetGroupTypeIp, Config: &types.TargetGroupConfig{
		Port: new(int32(9)), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: new("vpc-0123456789abcdef0")}})
	if err != nil {
		t.Fatal(err)
	}
	registerAll(t, client, *group.Id, types.Target{Id: new("127.0.0.1")})
	listeners, err := client.ListListeners(t.Context(), &vpclattice.ListListenersInput{ServiceIdentifier: &service})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CreateRule(t.Context(), &vpclattice.CreateRuleInput{ServiceIdentifier: &service, ListenerIdentifier: listeners.Items[0].Id, Name: new("dead"), Priority: new(int32(5)),
		Match:  &types.RuleMatchMemberHttpMatch{Value: types.HttpMatch{PathMatch: &types.PathMatch{Match: &types.PathMatchTypeMemberExact{Value: "/dead"}}}},
		Action: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.server.boundAddress(int(*listeners.Items[0].Port))+"/dead", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.GetService(t.Context(), &vpclattice.GetServiceInput{ServiceIdentifier: &service})
	if err != nil {
		t.Fatal(err)
	}
	request.Host = *got.DnsEntry.DomainName
	response, err := r.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	for _, path := range []string{"", "services/" + service, "target-groups/" + *group.Id} {
		trellistest.Await(t, func() bool { page, _ := r.read(home + path); return strings.Contains(page, "TargetConnectionError") }, "%q shows the failure", path)
		r.wants(home+path, "GET /dead", "connection refused", ">dead</a>")
	}
	if page, _ := r.read(home + "target-groups/" + blue); strings.Contains(page, "TargetConnectionError") {
		t.Error("the failure is shown at another target group")
	}
}

func TestFormsOfDevChangeThingsByOperations(t *testing.T) {
	node := startDemo(t)
	r := node.reader(t)
	service, blue, client := node.ids(t)
	groupPage, servicePage := home+"target-groups/"+blue, home+"services/"+service
	arn := "arn:aws:vpc-lattice:us-west-2:000000000000:service/" + service

	// Targets.
	page, status := r.send(groupPage, home+"register", url.Values{"group": {blue}, "target": {" 127.0.0.1 "}, "port": {"9"}})
	if status != http.StatusOK || !strings.Contains(page, "127.0.0.1:9") {
		t.Errorf("the page after registering is %d:\n%s", status, page)
	}
	if list := statuses(t, client, blue); len(list) != 2 {
		t.Errorf("the targets are %v", list)
	}
	if _, status := r.send(groupPage, home+"deregister", url.Values{"group": {blue}, "target": {"127.0.0.1"}, "port": {"9"}}); status != http.StatusOK {
		t.Errorf("deregistering is answered %d", status)
	}
	trellistest.Await(t, func() bool { return !slices.Contains(statuses(t, client, blue), "UNHEALTHY HealthCheckFailed") }, "the target is leaving")

	// Tags.
	if page, _ := r.send(servicePage, home+"tag", url.Values{"arn": {arn}, "key": {"team"}, "value": {"shop"}}); !strings.Contains(page, "<b>team</b> shop") {
		t.Errorf("the page after tagging:\n%s", page)
	}
	if page, _ := r.send(servicePage, home+"untag", url.Values{"arn": {arn}, "key": {"team"}}); strings.Contains(page, "<b>team</b>") {
		t.Errorf("the page after untagging:\n%s", page)
	}

	// Weights, those of a default rule.
	page, _ = r.read(servicePage)
	listener := regexp.MustCompile(`name="listener" value="([^"]+)"`).FindStringSubmatch(page)[1]
	groups := regexp.MustCompile(`name="group" value="([^"]+)"`).FindAllStringSubmatch(page, 2)
	page, status = r.send(servicePage, home+"weights", url.Values{"service": {service}, "listener": {listener}, "group": {groups[0][1], groups[1][1]}, "weight": {"1", "9"}})
	if status != http.StatusOK || !strings.Contains(page, "90 %") {
		t.Errorf("the page after setting weights is %d:\n%s", status, page)
	}
	got, err := client.GetListener(t.Context(), &vpclattice.GetListenerInput{ServiceIdentifier: &service, ListenerIdentifier: &listener})
	if err != nil {
		t.Fatal(err)
	}
	if to := got.DefaultAction.(*types.RuleActionMemberForward).Value.TargetGroups; *to[0].Weight != 1 || *to[1].Weight != 9 {
		t.Errorf("the weights are %d and %d, want 1 and 9", *to[0].Weight, *to[1].Weight)
	}

	// A refusal of an operation is shown in its words, and a form that is not ours is refused.
	for _, test := range []struct {
		action string
		fields url.Values
		want   string
		status int
	}{
		{"register", url.Values{"group": {blue}, "target": {"nonsense"}}, "UnsupportedTarget", http.StatusBadRequest},
		{"register", url.Values{"group": {blue}, "target": {"10.0.0.1"}, "port": {"many"}}, "must be a number", http.StatusBadRequest},
		{"register", url.Values{"group": {"tg-00000000000000000"}, "target": {"10.0.0.1"}}, "ResourceNotFoundException", http.StatusNotFound},
		{"weights", url.Values{"service": {service}, "listener": {listener}, "group": {blue}, "weight": {"1000"}}, "less than or equal to 999", http.StatusBadRequest},
		{"weights", url.Values{"service": {service}, "listener": {listener}}, "0 target groups", http.StatusBadRequest},
		{"tag", url.Values{"arn": {arn}}, "no key", http.StatusBadRequest},
	} {
		page, status := r.send(servicePage, home+test.action, test.fields)
		if status != test.status || !strings.Contains(page, test.want) || !strings.Contains(page, `href="`+servicePage+`"`) {
			t.Errorf("%s with %v is answered %d:\n%s", test.action, test.fields, status, page)
		}
	}
	response, err := r.PostForm(r.base+home+"tag", url.Values{"arn": {arn}, "key": {"a"}, "token": {"guessed"}})
	if err != nil {
		t.Fatal(err)
	}
	if page, status := r.text(response); status != http.StatusForbidden {
		t.Errorf("a form without our token is answered %d:\n%s", status, page)
	}
	for name, value := range map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "same-site"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.base+home+"tag", strings.NewReader("key=a"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set(name, value)
		response, err := r.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if page, status := r.text(response); status != http.StatusForbidden || !strings.Contains(page, "another origin") {
			t.Errorf("a form of another page (%s: %s) is answered %d: %s", name, value, status, page)
		}
	}
}

const consoleCredentials = `
[reader]
aws_access_key_id = AKIAREADER
aws_secret_access_key = secret-of-reader
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["vpc-lattice:TagResource"],"Resource":"*"},{"Effect":"Deny","Action":"vpc-lattice:UntagResource","Resource":"*"}]}

[other]
aws_access_key_id = AKIAOTHER
aws_secret_access_key = secret-of-other
trellis_account = 111111111111
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}

[admin]
aws_access_key_id = AKIAADMIN
aws_secret_access_key = secret-of-admin
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}
`

func TestInServePeopleSignInAndDoWhatTheirPoliciesAllow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(consoleCredentials), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "serve", "--data-dir", t.TempDir(), "--credentials", file, "--log-level", "debug")
	client := node.client(profile(t, file, "admin"))
	service, err := client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("shop")})
	if err != nil {
		t.Fatal(err)
	}
	page := home + "services/" + *service.Id
	signIn := func(r *reader, key, secret string) (string, int) {
		return r.send("/console/sign-in?back="+url.QueryEscape(page), "/console/sign-in", url.Values{"access-key-id": {key}, "secret-access-key": {secret}})
	}
	tag := url.Values{"arn": {*service.Arn}, "key": {"team"}, "value": {"shop"}}

	// Anybody reads, and nobody changes without a key.
	r := node.reader(t)
	r.wants(page, ">shop</h1>", "Sign in")
	if text, _ := r.read(page); strings.Contains(text, "Add tag") {
		t.Errorf("somebody who has not signed in gets a form:\n%s", text)
	}
	if text, status := r.send(page, home+"tag", tag); status != http.StatusForbidden || !strings.Contains(text, "sign in with an access key") {
		t.Errorf("a form of somebody who has not signed in is answered %d:\n%s", status, text)
	}
	for _, wrong := range [][2]string{{"AKIAREADER", "secret-of-admin"}, {"AKIANOBODY", "secret-of-reader"}, {"", ""}} {
		if text, status := signIn(r, wrong[0], wrong[1]); status != http.StatusForbidden || strings.Contains(text, "Sign out") {
			t.Errorf("%v is answered %d:\n%s", wrong, status, text)
		}
	}

	if text, status := signIn(r, "AKIAREADER", "secret-of-reader"); status != http.StatusOK || !strings.Contains(text, "Sign out") {
		t.Fatalf("the right key is answered %d:\n%s", status, text)
	}
	u, _ := url.Parse(r.base + "/console/")
	if cookies := r.Jar.Cookies(u); len(cookies) != 1 {
		t.Errorf("the cookies are %v", cookies)
	}
	if text, status := r.send(page, home+"tag", tag); status != http.StatusOK || !strings.Contains(text, "<b>team</b> shop") {
		t.Errorf("tagging is answered %d:\n%s", status, text)
	}
	if text, status := r.send(page, home+"untag", tag); status != http.StatusForbidden || !strings.Contains(text, "AccessDeniedException") || !strings.Contains(text, "explicit deny") {
		t.Errorf("what the policy denies is answered %d:\n%s", status, text)
	}

	// Another account's key does nothing here.
	stranger := node.reader(t)
	if _, status := signIn(stranger, "AKIAOTHER", "secret-of-other"); status != http.StatusOK {
		t.Fatalf("signing in is answered %d", status)
	}
	if text, status := stranger.send(page, home+"untag", tag); status != http.StatusForbidden || !strings.Contains(text, "account 000000000000") {
		t.Errorf("another account's key is answered %d:\n%s", status, text)
	}

	if text, _ := r.send(page, "/console/sign-out", nil); strings.Contains(text, "Sign out") {
		t.Errorf("after signing out:\n%s", text)
	}
	if log := node.log.String(); strings.Contains(log, "secret-of-reader") || strings.Contains(log, "secret-of-admin") {
		t.Errorf("the log has a secret:\n%s", log)
	}
}

func TestCookieOfASessionIsOutOfReachOfScriptsAndOtherPages(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(consoleCredentials), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "serve", "--data-dir", t.TempDir(), "--credentials", file)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for back, want := range map[string]string{"https://evil.example/": "/console/", "//evil.example/console/": "/console/", home + "services": home + "services"} {
		response, err := client.PostForm("http://"+node.server.adminListener.Addr().String()+"/console/sign-in", url.Values{
			"access-key-id": {"AKIAADMIN"}, "secret-access-key": {"secret-of-admin"}, "back": {back}})
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		cookies := response.Cookies()
		if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Path != "/console/" || cookies[0].MaxAge <= 0 || len(cookies[0].Value) < 50 {
			t.Errorf("the cookies are %v", cookies)
		}
		if to := response.Header.Get("Location"); to != want {
			t.Errorf("somebody who came from %s is sent to %s, want %s", back, to, want)
		}
	}
}

const consoleInventory = `
vpcs:
  - {id: vpc-0123456789abcdef0, cidrs: [127.0.0.0/8]}
functions:
  - {arn: "arn:aws:lambda:us-west-2:000000000000:function:hello", command: [/bin/false]}
`

func TestPagesOfFunctionsResourcesCertificatesAndPolicies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(file, []byte(consoleInventory), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := trellistest.ResourceRange()
	node := start(t, "dev", "--inventory", file, "--port-map", fmt.Sprintf("80=%d,443=%d", trellistest.FreePort(t), trellistest.FreePort(t)), "--resource-range", addresses.String())
	r, client, ctx := node.reader(t), node.client(anybody()), t.Context()

	gateway, err := client.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{Name: new("entrance"), VpcIdentifier: new("vpc-0123456789abcdef0"), SubnetIds: []string{"subnet-0123456789abcdef0"}})
	if err != nil {
		t.Fatal(err)
	}
	nobody := trellistest.FreePort(t) // listens there
	configuration, err := client.CreateResourceConfiguration(ctx, &vpclattice.CreateResourceConfigurationInput{Name: new("orders-db"), Type: types.ResourceConfigurationTypeSingle, PortRanges: []string{fmt.Sprint(nobody)},
		ResourceGatewayIdentifier: gateway.Id, Protocol: types.ProtocolTypeTcp,
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: new("127.0.0.1")}}})
	if err != nil {
		t.Fatal(err)
	}
	network, err := client.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home"), AuthType: types.AuthTypeAwsIam})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{ServiceNetworkIdentifier: network.Id, VpcIdentifier: new("vpc-0123456789abcdef0")}); err != nil {
		t.Fatal(err)
	}
	association, err := client.CreateServiceNetworkResourceAssociation(ctx, &vpclattice.CreateServiceNetworkResourceAssociationInput{ResourceConfigurationIdentifier: configuration.Id, ServiceNetworkIdentifier: network.Id})
	if err != nil {
		t.Fatal(err)
	}
	prefix := strings.TrimSuffix(addresses.Masked().Addr().String(), "0.0")
	r.wants(home+"resources", ">orders-db</a>", ">entrance</a>", "127.0.0.1", fmt.Sprint("port ", nobody), *association.Id, prefix)
	r.wants(home+"resources/"+*gateway.Id, "subnet-0123456789abcdef0", ">orders-db</a>", "update-resource-gateway")
	r.wants(home+"resources/"+*configuration.Id, ">home</a>", ">entrance</a>", prefix, "create-resource-configuration")
	r.wants(home+"resources/"+*association.Id, ">orders-db</a>", ">home</a>", prefix, "/explain?address="+prefix, fmt.Sprint("open: ", nobody), "from associated VPCs")
	resource := node.server.router.Resources()[0]
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(resource.Addresses[0], uint16(nobody)).String()); err == nil {
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	trellistest.Await(t, func() bool {
		page, _ := r.read(home + "resources/" + *association.Id)
		return strings.Contains(page, "1 failure")
	}, "the failure of a connection is shown")
	r.wants(home+"service-networks/"+*network.Id, ">orders-db</a>")

	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"nobodyElse","Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestMethod":"POST"}}}]}`
	if _, err := client.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: network.Id, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	service, err := client.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new("shop")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id}); err != nil {
		t.Fatal(err)
	}
	if _, err = client.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: new("http"), Protocol: types.ListenerProtocolHttp, Port: new(int32(80)),
		DefaultAction: &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: new(int32(404))}}}); err != nil {
		t.Fatal(err)
	}
	r.wants(home+"policies", ">home</a>", "In force", "remembers no failed exchange")
	host := *service.DnsEntry.DomainName
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node.server.boundAddress(80)+"/denied", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := r.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, status := r.text(response); status != http.StatusForbidden {
		t.Fatalf("the request is answered %d", status)
	}
	for _, path := range []string{"policies", "policies/" + *network.Id, "services/" + *service.Id, "service-networks/" + *network.Id} {
		trellistest.Await(t, func() bool { page, _ := r.read(home + path); return strings.Contains(page, "denied by network policy") }, "%s shows the denial", path)
	}
	r.wants(home+"policies/"+*network.Id, "&#34;nobodyElse&#34;", "put-auth-policy", ">home</a>")

	asked := url.Values{"host": {host}, "port": {"80"}, "method": {"GET"}, "path": {"/orders"}}
	r.wants(home+"explain?"+asked.Encode(), "Policies deny the request", "nobodyElse", "wants POST; the request has GET", "curl -i -H ")
	asked.Set("method", "POST")
	r.wants(home+"explain?"+asked.Encode(), "It is answered with status 404, without a target.", "nobodyElse", "the default rule")
	asked.Set("headers", "no colon")
	r.wants(home+"explain?"+asked.Encode(), "name:value")
	r.wants(home+"explain?host=unknown.example&port=80&method=GET&path=/", "mark bad")
	r.wants(home+"explain", `<option value="`+host+`">`)

	r.wants(home+"certificates", "the local authority", "mark good")
	r.wants(home+"functions", ">hello</a>", "/bin/false", "Ready")
	r.wants(home+"functions/hello", "No process runs", "It is a target of no target group.")
}

func TestExplanationsOfTLSPassthroughAreAboutConnections(t *testing.T) {
	node := start(t, "dev", "--port-map", "443=0")
	client, ctx := node.client(anybody()), t.Context()
	group, err := client.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: new("vault"), Type: types.TargetGroupTypeIp,
		Config: &types.TargetGroupConfig{Protocol: types.TargetGroupProtocolTcp, Port: new(int32(trellistest.FreePort(t))), VpcIdentifier: new("vpc-0123456789abcdef0")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: group.Id, Targets: []types.Target{{Id: new("127.0.0.1")}}}); err != nil {
		t.Fatal(err)
	}
	network, err := client.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home")})
	if err != nil {
		t.Fatal(err)
	}
	service, err := client.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new("vault"), CustomDomainName: new("vault.example.com")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{ServiceIdentifier: service.Id, ServiceNetworkIdentifier: network.Id}); err != nil {
		t.Fatal(err)
	}
	if _, err = client.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: service.Id, Name: new("tls"), Protocol: types.ListenerProtocolTlsPassthrough, Port: new(int32(443)),
		DefaultAction: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: group.Id}}}}}); err != nil {
		t.Fatal(err)
	}
	r := node.reader(t)
	asked := url.Values{"host": {"vault.example.com"}, "port": {"443"}, "method": {"POST"}, "path": {"/secret"}}
	r.wants(home+"explain?"+asked.Encode(), "The connection is passed on to a target of vault, whatever it carries.", "TLS_PASSTHROUGH:443", "the default rule")
	if page, _ := r.read(home + "explain?" + asked.Encode()); strings.Contains(page, "curl -i") {
		t.Errorf("a curl command is shown for a listener that sees no requests:\n%s", page)
	}
	asked.Set("host", *service.DnsEntry.DomainName)
	r.wants(home+"explain?"+asked.Encode(), "answers to the custom domain name only", "mark bad")
}

func TestPolicyDocumentsAreShownToThoseWhoMayReadThem(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(consoleCredentials), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "serve", "--data-dir", t.TempDir(), "--credentials", file)
	client := node.client(profile(t, file, "admin"))
	network, err := client.CreateServiceNetwork(t.Context(), &vpclattice.CreateServiceNetworkInput{Name: new("home"), AuthType: types.AuthTypeAwsIam})
	if err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"theStatement","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`
	if _, err := client.PutAuthPolicy(t.Context(), &vpclattice.PutAuthPolicyInput{ResourceIdentifier: network.Id, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	page := home + "policies/" + *network.Id
	for _, test := range []struct{ key, secret, want string }{
		{"", "", "signed in"},
		{"AKIAREADER", "secret-of-reader", "AccessDeniedException"},
		{"AKIAADMIN", "secret-of-admin", "theStatement"},
	} {
		r := node.reader(t)
		if test.key != "" {
			r.send("/console/sign-in", "/console/sign-in", url.Values{"access-key-id": {test.key}, "secret-access-key": {test.secret}})
		}
		r.wants(page, test.want)
		if text, _ := r.read(page); test.want != "theStatement" && strings.Contains(text, "theStatement") {
			t.Errorf("%q sees the document:\n%s", test.key, text)
		}
	}
}

// stream opens the stream by which pages are kept up to date.
func (r *reader) stream() *http.Response {
	r.t.Helper()
	response, err := r.Get(r.base + "/console/live")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestStreamsTellOfChangesAreBoundedAndEndWithTheNode(t *testing.T) {
	var last *http.Response
	t.Run("node", func(t *testing.T) {
		node := start(t, "dev")
		r := node.reader(t)
		first := r.stream()
		if got := first.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("the stream is %s", got)
		}
		lines := bufio.NewReader(first.Body)
		if line, err := lines.ReadString('\n'); err != nil || line != ": listening\n" {
			t.Fatalf("the stream begins with %q (%v)", line, err)
		}
		if _, err := node.client(anybody()).CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("shop")}); err != nil {
			t.Fatal(err)
		}
		for line := ""; line != "event: change\n"; {
			var err error
			if line, err = lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		first.Body.Close()

		open := map[*http.Response]bool{}
		refused := func() bool {
			response := r.stream()
			if response.StatusCode != http.StatusServiceUnavailable {
				open[response] = true
				return false
			}
			return true
		}
		for !refused() {
			if len(open) > 100 {
				t.Fatal("there are more than 100 streams")
			}
		}
		for response := range open { // Another one makes room.
			response.Body.Close()
			break
		}
		trellistest.Await(t, func() bool { return !refused() }, "there is room for another stream")
		response, err := http.Get(r.base + "/console/live")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		// One that nobody closes before the node ends.
		for response := range open {
			response.Body.Close()
		}
		trellistest.Await(t, func() bool {
			if last, err = http.Get(r.base + "/console/live"); err != nil {
				t.Fatal(err)
			}
			if last.StatusCode == http.StatusOK {
				return true
			}
			last.Body.Close()
			return false
		}, "a stream is open")
	})
	defer last.Body.Close()
	if _, err := io.Copy(io.Discard, last.Body); err != nil {
		t.Errorf("the stream was cut off: %v", err)
	}
}

func TestSessionsBegunOverHTTPSAreSentOverHTTPSAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(consoleCredentials), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "serve", "--data-dir", t.TempDir(), "--credentials", file)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(node.server.authority.PEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.PostForm("https://"+node.server.adminListener.Addr().String()+"/console/sign-in", url.Values{"access-key-id": {"AKIAADMIN"}, "secret-access-key": {"secret-of-admin"}})
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if cookies := response.Cookies(); len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("the cookies are %v", cookies)
	}
}
