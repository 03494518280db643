package console

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"trellis/test/trellistest"
)

// awaitLimit is how long a browser may take to start. Machines can be very busy.
const awaitLimit = 2 * time.Minute

const home = "/console/000000000000/us-west-2/"

// network is a node with one of everything.
type network struct {
	*trellistest.Process
	t      *testing.T
	client *vpclattice.Client
	// data is where listener port 80 is bound, host the name of the service.
	data, host                                                                      string
	service, group, broken, sn, gateway, configuration, association, listener, rule *string
}

const inventory = `
vpcs:
  - {id: vpc-0123456789abcdef0, cidrs: [127.0.0.0/8]}
functions:
  - {arn: "arn:aws:lambda:us-west-2:000000000000:function:hello", command: [/bin/false]}
`

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	file := filepath.Join(t.TempDir(), "inventory.yaml")
	if err := os.WriteFile(file, []byte(inventory), 0o600); err != nil {
		t.Fatal(err)
	}
	port := trellistest.FreePort(t)
	n := &network{t: t, data: fmt.Sprintf("http://127.0.0.1:%d", port)}
	n.Process = trellistest.Start(t, trellistest.BuildFast(t), "dev", "--inventory", file, "--dns-addr", "127.0.0.1:0", "--ca-dir", t.TempDir(),
		"--port-map", fmt.Sprintf("80=%d", port), "--resource-range", trellistest.ResourceRange().String())
	cfg := must[aws.Config](t)(config.LoadDefaultConfig(t.Context(), config.WithRegion("us-west-2"), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("any", "any", ""))))
	n.client = vpclattice.NewFromConfig(cfg, func(o *vpclattice.Options) { o.BaseEndpoint = &n.API })

	ctx, vpc := t.Context(), new("vpc-0123456789abcdef0")
	backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(backend.Close)
	u, _ := url.Parse(backend.URL)
	healthy, _ := strconv.Atoi(u.Port())
	n.sn = must[*vpclattice.CreateServiceNetworkOutput](t)(n.client.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: new("home"), AuthType: types.AuthTypeAwsIam})).Id
	must[*vpclattice.CreateServiceNetworkVpcAssociationOutput](t)(n.client.CreateServiceNetworkVpcAssociation(ctx, &vpclattice.CreateServiceNetworkVpcAssociationInput{ServiceNetworkIdentifier: n.sn, VpcIdentifier: vpc}))
	must[*vpclattice.PutAuthPolicyOutput](t)(n.client.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: n.sn,
		Policy: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"vpc-lattice-svcs:RequestMethod":"DELETE"}}}]}`)}))
	group := func(name string, port int) *string {
		id := must[*vpclattice.CreateTargetGroupOutput](t)(n.client.CreateTargetGroup(ctx, &vpclattice.CreateTargetGroupInput{Name: &name, Type: types.TargetGroupTypeIp, Config: &types.TargetGroupConfig{
			Port: new(int32(port)), Protocol: types.TargetGroupProtocolHttp, VpcIdentifier: vpc,
			HealthCheck: &types.HealthCheckConfig{HealthCheckIntervalSeconds: new(int32(5)), HealthCheckTimeoutSeconds: new(int32(1)), UnhealthyThresholdCount: new(int32(2))}}})).Id
		must[*vpclattice.RegisterTargetsOutput](t)(n.client.RegisterTargets(ctx, &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: id, Targets: []types.Target{{Id: new("127.0.0.1")}}}))
		return id
	}
	n.group, n.broken = group("orders-v1", healthy), group("orders-v2", 9)
	service := must[*vpclattice.CreateServiceOutput](t)(n.client.CreateService(ctx, &vpclattice.CreateServiceInput{Name: new("orders"), Tags: map[string]string{"team": "shop"}}))
	n.service, n.host = service.Id, *service.DnsEntry.DomainName
	must[*vpclattice.CreateServiceNetworkServiceAssociationOutput](t)(n.client.CreateServiceNetworkServiceAssociation(ctx, &vpclattice.CreateServiceNetworkServiceAssociationInput{ServiceIdentifier: n.service, ServiceNetworkIdentifier: n.sn}))
	split := &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: n.group, Weight: new(int32(90))}, {TargetGroupIdentifier: n.broken, Weight: new(int32(10))}}}}
	n.listener = must[*vpclattice.CreateListenerOutput](t)(n.client.CreateListener(ctx, &vpclattice.CreateListenerInput{ServiceIdentifier: n.service, Name: new("http"), Protocol: types.ListenerProtocolHttp, Port: new(int32(80)), DefaultAction: split})).Id
	n.rule = must[*vpclattice.CreateRuleOutput](t)(n.client.CreateRule(ctx, &vpclattice.CreateRuleInput{ServiceIdentifier: n.service, ListenerIdentifier: n.listener, Name: new("beta"), Priority: new(int32(10)),
		Match:  &types.RuleMatchMemberHttpMatch{Value: types.HttpMatch{PathMatch: &types.PathMatch{Match: &types.PathMatchTypeMemberPrefix{Value: "/beta"}}}},
		Action: &types.RuleActionMemberForward{Value: types.ForwardAction{TargetGroups: []types.WeightedTargetGroup{{TargetGroupIdentifier: n.broken}}}}})).Id
	n.gateway = must[*vpclattice.CreateResourceGatewayOutput](t)(n.client.CreateResourceGateway(ctx, &vpclattice.CreateResourceGatewayInput{Name: new("entrance"), VpcIdentifier: vpc, SubnetIds: []string{"subnet-0123456789abcdef0"}})).Id
	n.configuration = must[*vpclattice.CreateResourceConfigurationOutput](t)(n.client.CreateResourceConfiguration(ctx, &vpclattice.CreateResourceConfigurationInput{Name: new("orders-db"), Type: types.ResourceConfigurationTypeSingle,
		PortRanges: []string{"5432"}, ResourceGatewayIdentifier: n.gateway, Protocol: types.ProtocolTypeTcp,
		ResourceConfigurationDefinition: &types.ResourceConfigurationDefinitionMemberIpResource{Value: types.IpResource{IpAddress: new("127.0.0.1")}}})).Id
	n.association = must[*vpclattice.CreateServiceNetworkResourceAssociationOutput](t)(n.client.CreateServiceNetworkResourceAssociation(ctx, &vpclattice.CreateServiceNetworkResourceAssociationInput{ResourceConfigurationIdentifier: n.configuration, ServiceNetworkIdentifier: n.sn})).Id
	return n
}

// send sends a request to the service, whatever becomes of it.
func (n *network) send(method, path string) {
	n.t.Helper()
	r := must[*http.Request](n.t)(http.NewRequestWithContext(n.t.Context(), method, n.data+path, http.NoBody))
	r.Host = n.host
	response := must[*http.Response](n.t)(http.DefaultClient.Do(r))
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
}

func (n *network) read(path string) string {
	n.t.Helper()
	response := must[*http.Response](n.t)(http.Get(n.Admin + path))
	defer response.Body.Close()
	return string(must[[]byte](n.t)(io.ReadAll(response.Body)))
}

// address returns where the resource is reached.
func (n *network) address() string {
	n.t.Helper()
	address := regexp.MustCompile(`explain\?address=([0-9.]+)`).FindStringSubmatch(n.read(home + "resources/" + *n.association))
	if address == nil {
		n.t.Fatal("the page of the association shows no address")
	}
	return address[1]
}

// TestChartsShowTheTrafficOfEachObject counts by rules, listeners, services and service networks.
func TestChartsShowTheTrafficOfEachObject(t *testing.T) {
	n := newNetwork(t)
	for range 20 {
		n.send("GET", "/")
	}
	n.send("GET", "/beta")
	n.send("DELETE", "/denied") // The policy is asked before the rules.
	listener := "services/" + *n.service + "/listeners/" + *n.listener
	for path, want := range map[string]string{
		"service-networks/" + *n.sn: "22", "services/" + *n.service: "22", listener: "21", listener + "/rules/" + *n.rule: "1",
	} {
		trellistest.Await(t, func() bool { return strings.Contains(n.read(home+path), "Requests in the last 5 min: "+want+";") },
			"%s has a chart of %s requests", path, want)
	}
}

// TestPagesWorkInABrowser opens every page in two widths and two color schemes, and has axe-core check it in each.
func TestPagesWorkInABrowser(t *testing.T) {
	b := newBrowser(t)
	defer b.close()
	script := axe(t)
	n := newNetwork(t)
	for range 20 {
		n.send("GET", "/")
	}
	n.send("GET", "/beta")
	n.send("DELETE", "/denied")
	trellistest.Await(t, func() bool {
		page := n.read(home)
		return strings.Contains(page, "<h2>Problems</h2>") && strings.Contains(page, "ClientAccessDenied")
	}, "there are a problem and failures")
	trellistest.Await(t, func() bool {
		return strings.Contains(n.read(home), "</table>") && !strings.Contains(n.read(home), "No service has had a request")
	}, "requests are counted")
	listener := "services/" + *n.service + "/listeners/" + *n.listener
	asked := url.Values{"host": {n.host}, "port": {"80"}, "method": {"GET"}, "path": {"/beta/1"}}
	denied := url.Values{"host": {n.host}, "port": {"80"}, "method": {"DELETE"}, "path": {"/"}}
	pages := []struct{ name, path, heading string }{
		{"overview", "", "Overview"},
		{"service-networks", "service-networks", "Service networks"},
		{"service-network", "service-networks/" + *n.sn, "home"},
		{"services", "services", "Services"},
		{"services-filtered", "services?q=nothing", "Services"},
		{"service", "services/" + *n.service, "orders"},
		{"listener", listener, "http"},
		{"rule", listener + "/rules/" + *n.rule, "beta"},
		{"target-groups", "target-groups?sort=-targets", "Target groups"},
		{"target-group", "target-groups/" + *n.broken, "orders-v2"},
		{"functions", "functions", "Functions"},
		{"function", "functions/hello", "hello"},
		{"resources", "resources", "Resources"},
		{"resource-gateway", "resources/" + *n.gateway, "entrance"},
		{"resource-configuration", "resources/" + *n.configuration, "orders-db"},
		{"resource-association", "resources/" + *n.association, "snra-"},
		{"certificates", "certificates", "Certificates"},
		{"policies", "policies", "Auth policies"},
		{"policy", "policies/" + *n.sn, "home"},
		{"explain", "explain", "What happens to this request?"},
		{"explained", "explain?" + asked.Encode(), "What happens to this request?"},
		{"explained-denial", "explain?" + denied.Encode(), "What happens to this request?"},
		{"explained-connection", "explain?address=" + n.address(), "What happens to this request?"},
	}
	for _, p := range pages {
		for _, look := range []struct {
			name, scheme string
			width        int64
		}{{"wide-light", "light", 1280}, {"wide-dark", "dark", 1280}, {"phone-light", "light", 390}, {"phone-dark", "dark", 390}} {
			b.look(look.width, look.scheme)
			if look.name == "wide-light" {
				b.open(n.Admin + home + p.path)
				if heading := b.text("h1"); !strings.Contains(heading, p.heading) {
					t.Errorf("%s has the heading %q, not %q", p.name, heading, p.heading)
				}
				b.run("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
			}
			b.check(script, p.name+" "+look.name)
			// Only tables and lines of code are wider than a phone, and scroll by themselves.
			if wide := eval[int64](b, "document.documentElement.scrollWidth"); wide > look.width {
				t.Errorf("%s %s is %d pixels wide, more than %d", p.name, look.name, wide, look.width)
			}
			b.picture(p.name + "-" + look.name)
		}
	}
	b.open(n.Admin + home + "services/svc-00000000000000000")
	b.forgive("404")
	b.check(script, "no such service")
}

// TestFormsWorkInABrowser uses the forms with mouse and keyboard.
func TestFormsWorkInABrowser(t *testing.T) {
	b := newBrowser(t)
	defer b.close()
	n := newNetwork(t)
	b.open(n.Admin + "/")
	if at := eval[string](b, "location.pathname"); at != home {
		t.Errorf("the browser is at %s", at)
	}

	// From the menu to a service, by the keyboard alone.
	b.do(chromedp.KeyEvent(kb.Tab))
	if first := eval[string](b, "document.activeElement.className"); first != "skip" {
		t.Errorf("the first stop of the keyboard is %q", first)
	}
	b.do(chromedp.Focus(`nav a[href$="/services"]`), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`//h1[.="Services"]`))
	b.do(chromedp.Focus(`tbody a`), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(`//h1[.="orders"]`))

	// Weights, by the slider: the number beside it and the shares follow.
	slider := `input[type=range]`
	b.do(chromedp.Focus(slider), chromedp.KeyEvent(kb.Home))
	b.await(`document.querySelector("input[name=weight]").value === "0" && document.querySelector(".weights .share").textContent === "0 %"`)
	b.do(chromedp.SetValue(`.weights li:nth-child(2) input[name=weight]`, "30"), chromedp.SetValue(`.weights li:nth-child(1) input[name=weight]`, "10"))
	b.leave(chromedp.Click(`.weights button`))
	b.await(`[...document.querySelectorAll(".weights .share")].map((s) => s.textContent).join() === "25 %,75 %"`)
	got := must[*vpclattice.GetListenerOutput](t)(n.client.GetListener(t.Context(), &vpclattice.GetListenerInput{ServiceIdentifier: n.service, ListenerIdentifier: n.listener}))
	if to := got.DefaultAction.(*types.RuleActionMemberForward).Value.TargetGroups; *to[0].Weight != 10 || *to[1].Weight != 30 {
		t.Errorf("the weights are %d and %d", *to[0].Weight, *to[1].Weight)
	}

	// Tags.
	b.do(chromedp.SendKeys(`input[name=key]:not([type=hidden])`, "stage"))
	b.leave(chromedp.SendKeys(`input[name=value]`, "beta"+kb.Enter))
	b.await(`document.querySelector("#tag-stage")?.textContent.includes("beta")`)
	b.leave(chromedp.Click(`#tag-stage button`))
	b.await(`!document.querySelector("#tag-stage") && document.querySelector("#tag-team")`)

	// Targets. A refusal says why, and leads back.
	b.open(n.Admin + home + "target-groups/" + *n.group)
	b.do(chromedp.SendKeys(`input[name=target]:not([type=hidden])`, "127.0.0.7"))
	b.leave(chromedp.SendKeys(`input[name=port]:not([type=hidden])`, "99"+kb.Enter))
	b.await(`document.querySelector("#targets")?.textContent.includes("127.0.0.7:99")`)
	b.leave(chromedp.Click(`//tr[contains(., "127.0.0.7:99")]//button`))
	b.await(`document.querySelector("#targets")?.textContent.includes("leaving") || !document.querySelector("#targets")?.textContent.includes("127.0.0.7")`)
	b.leave(chromedp.SendKeys(`input[name=target]:not([type=hidden])`, "nonsense"+kb.Enter))
	b.await(`document.querySelector("[role=alert]")?.textContent.startsWith("UnsupportedTarget")`)
	b.forgive("400")
	b.do(chromedp.Click(`main a`), chromedp.WaitVisible(`//h1[.="orders-v1"]`))

	// Filters, and sorting.
	b.open(n.Admin + home + "target-groups")
	b.do(chromedp.Click(`//th/a[.="Name"]`), chromedp.WaitVisible(`th[aria-sort=ascending]`))
	b.do(chromedp.Click(`//th/a[.="Name"]`), chromedp.WaitVisible(`th[aria-sort=descending]`))
	if first := b.text("tbody a"); first != "orders-v2" {
		t.Errorf("sorted from the end, %s is first", first)
	}

	// Explain.
	b.open(n.Admin + home + "explain")
	b.do(chromedp.SendKeys(`input[name=host]`, n.host), chromedp.SetValue(`input[name=path]`, "/beta"), chromedp.Click(`.asked button`))
	b.await(`document.querySelector("#result h2")?.textContent.includes("orders-v2")`)
	b.do(chromedp.SendKeys(`input[name=address]`, n.address()+kb.Enter))
	b.await(`document.querySelector("#result h2")?.textContent === "The connection is made." && document.querySelector("#result").textContent.includes("127.0.0.1:5432")`)
	b.do(chromedp.SetValue(`[aria-labelledby=a-connection] input[name=port]`, "99"), chromedp.Click(`[aria-labelledby=a-connection] button`))
	b.await(`document.querySelector("#result h2")?.textContent.includes("port 99 is outside the port ranges")`)
}

// TestEverythingIsReachedByTheKeyboard goes through the page of a service with the tab key alone.
func TestEverythingIsReachedByTheKeyboard(t *testing.T) {
	b := newBrowser(t)
	defer b.close()
	n := newNetwork(t)
	b.open(n.Admin + home + "services/" + *n.service)
	b.run(`document.querySelectorAll("details").forEach((d) => { d.open = true; });
		window.missing = new Set(document.querySelectorAll("a[href], button, summary, pre, input:not([type=hidden]), .scroll"));
		document.addEventListener("focusin", (event) => missing.delete(event.target))`)
	for range eval[int](b, "missing.size") + 1 {
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	for _, left := range eval[[]string](b, "[...missing].map((e) => e.outerHTML.slice(0, 200))") {
		t.Errorf("the tab key does not come to %s", left)
	}
	// A listener's and a rule's lines are among what was reached.
	for _, operation := range []string{"create-listener", "update-listener", "delete-listener", "create-rule", "update-rule", "delete-rule"} {
		if !eval[bool](b, fmt.Sprintf("[...document.querySelectorAll('.listener pre')].some((line) => line.textContent.startsWith('aws vpc-lattice %s '))", operation)) {
			t.Errorf("the listener has no line with %s", operation)
		}
	}
}

// TestLiveUpdatesReachABrowser changes things while a page is open.
func TestLiveUpdatesReachABrowser(t *testing.T) {
	b := newBrowser(t)
	defer b.close()
	n := newNetwork(t)
	b.open(n.Admin + home + "services")
	// Not a new page: a mark on the old one stays.
	b.run("window.sameDocument = true")
	must[*vpclattice.CreateServiceOutput](t)(n.client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("another")}))
	b.await(`window.sameDocument && [...document.querySelectorAll("tbody a")].some((a) => a.textContent === "another")`)

	// The row with the focus stays where it is, though another comes before it. Once it has lost the focus, the list is in order.
	b.run(`window.focused = [...document.querySelectorAll("tbody a")].find((a) => a.textContent === "orders"); focused.focus(); window.before = focused.getBoundingClientRect().top`)
	updates := eval[int](b, "Number(document.documentElement.dataset.updates || 0)")
	must[*vpclattice.CreateServiceOutput](t)(n.client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("a-third")}))
	b.await(fmt.Sprintf("Number(document.documentElement.dataset.updates) > %d", updates+1))
	if !eval[bool](b, "document.activeElement === focused && focused.isConnected && focused.getBoundingClientRect().top === before") {
		t.Error("the row with the focus was moved")
	}
	b.run("focused.blur()")
	b.await(`[...document.querySelectorAll("tbody a")].some((a) => a.textContent === "a-third")`)

	// Many changes are merged: there are no more updates than two a second.
	b.run(`window.asked = 0; window.since = performance.now(); const real = window.fetch; window.fetch = (...args) => { asked++; return real(...args); }`)
	for i := range 60 {
		must[*vpclattice.TagResourceOutput](t)(n.client.TagResource(t.Context(), &vpclattice.TagResourceInput{
			ResourceArn: new("arn:aws:vpc-lattice:us-west-2:000000000000:service/" + *n.service), Tags: map[string]string{"round": fmt.Sprint(i)}}))
	}
	b.await("asked >= 2")
	if tooMany := eval[float64](b, "asked - 2 * ((performance.now() - since) / 1000 + 1)"); tooMany > 0 {
		t.Errorf("there were %.1f updates more than two a second", tooMany)
	}

	// While somebody writes, the form is left alone; the rest of the page follows.
	b.open(n.Admin + home + "target-groups/" + *n.group)
	b.do(chromedp.SendKeys(`input[name=target]:not([type=hidden])`, "10.0."))
	must[*vpclattice.RegisterTargetsOutput](t)(n.client.RegisterTargets(t.Context(), &vpclattice.RegisterTargetsInput{TargetGroupIdentifier: n.group, Targets: []types.Target{{Id: new("127.0.0.8")}}}))
	b.await(`document.querySelector("#targets").textContent.includes("127.0.0.8")`)
	if !eval[bool](b, `document.activeElement.name === "target" && document.activeElement.value === "10.0."`) {
		t.Error("the form was changed while somebody wrote in it")
	}

	// The node goes away: the page says so.
	n.Stop()
	b.await(`document.querySelector("#live").textContent !== ""`)
	b.forgive("ERR_")
	b.mu.Lock()
	b.complaints = nil // It tries again.
	b.mu.Unlock()
}

const credentialsFile = `
[admin]
aws_access_key_id = AKIAADMIN
aws_secret_access_key = secret-of-admin
trellis_policy = {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}
`

// TestSigningInWorksInABrowser signs in to a node that stores things.
func TestSigningInWorksInABrowser(t *testing.T) {
	b := newBrowser(t)
	defer b.close()
	script := axe(t)
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte(credentialsFile), 0o600); err != nil {
		t.Fatal(err)
	}
	node := trellistest.Start(t, trellistest.BuildFast(t), "serve", "--data-dir", t.TempDir(), "--credentials", file)
	cfg := must[aws.Config](t)(config.LoadDefaultConfig(t.Context(), config.WithRegion("us-west-2"), config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIAADMIN", "secret-of-admin", ""))))
	client := vpclattice.NewFromConfig(cfg, func(o *vpclattice.Options) { o.BaseEndpoint = &node.API })
	service := must[*vpclattice.CreateServiceOutput](t)(client.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: new("orders")}))

	b.open(node.Admin + home + "services/" + *service.Id)
	if eval[bool](b, `document.querySelector("main form[method=post]") !== null`) {
		t.Error("there are forms before anybody has signed in")
	}
	b.do(chromedp.Click(`header a[href*="sign-in"]`), chromedp.WaitVisible(`input[name="secret-access-key"]`))
	b.check(script, "sign-in")
	b.picture("sign-in")
	b.do(chromedp.SendKeys(`input[name="access-key-id"]`, "AKIAADMIN"), chromedp.SendKeys(`input[name="secret-access-key"]`, "wrong"+kb.Enter), chromedp.WaitVisible(`[role=alert]`))
	b.forgive("403")
	if value := eval[string](b, `document.querySelector('input[name="secret-access-key"]').value`); value != "" {
		t.Errorf("the form comes back with the secret %q", value)
	}
	b.do(chromedp.SendKeys(`input[name="access-key-id"]`, "AKIAADMIN"), chromedp.SendKeys(`input[name="secret-access-key"]`, "secret-of-admin"+kb.Enter), chromedp.WaitVisible(`//h1[.="orders"]`))
	if cookie := eval[string](b, "document.cookie"); cookie != "" {
		t.Errorf("scripts can read the cookie %q", cookie)
	}
	b.do(chromedp.SendKeys(`input[name=key]:not([type=hidden])`, "team"), chromedp.SendKeys(`input[name=value]`, "shop"+kb.Enter), chromedp.WaitVisible(`#tag-team`))
	b.check(script, "a service, signed in")
	b.do(chromedp.Click(`.leave button`), chromedp.WaitVisible(`header a[href*="sign-in"]`))
}
