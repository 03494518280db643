package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"

	"trellis/internal/routing"
	"trellis/test/trellistest"
)

// guarded makes a service that answers 404 to clients whom the policy admits, and returns its name and ARN.
func (r *running) guarded(t *testing.T, policy string) (host, arn string) {
	t.Helper()
	return r.guardedFor(t, r.client(anybody()), policy)
}

func (r *running) guardedFor(t *testing.T, api *vpclattice.Client, policy string) (host, arn string) {
	t.Helper()
	ctx := t.Context()
	serviceOnPort80(t, api)
	list, err := api.ListServices(ctx, &vpclattice.ListServicesInput{})
	if err != nil {
		t.Fatal(err)
	}
	service := list.Items[0]
	if _, err := api.PutAuthPolicy(ctx, &vpclattice.PutAuthPolicyInput{ResourceIdentifier: service.Id, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.UpdateService(ctx, &vpclattice.UpdateServiceInput{ServiceIdentifier: service.Id, AuthType: types.AuthTypeAwsIam}); err != nil {
		t.Fatal(err)
	}
	return *service.DnsEntry.DomainName, *service.Arn
}

// send sends a request to a service, signed with an access key unless that is empty.
func (r *running) send(t *testing.T, method, host, path, key string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+r.server.proxy.Addr(80).String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	if key != "" {
		request.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		err := v4.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: key, SecretAccessKey: "any"}, request,
			"UNSIGNED-PAYLOAD", "vpc-lattice-svcs", "us-west-2", time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// TestThePolicyOfTheReadmeDeniesAsItSays puts the policy of the README, and compares what the denied request gets.
func TestThePolicyOfTheReadmeDeniesAsItSays(t *testing.T) {
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	policy := regexp.MustCompile("(?s)`policy.json`.*?```json\n(.*?)```").FindSubmatch(page)
	shown := regexp.MustCompile("(?s)```text\nHTTP/1.1 403 Forbidden\nx-trellis-problem: (.*?)\n\n(.*?)\n```").FindSubmatch(page)
	if policy == nil || shown == nil {
		t.Fatal("the page has no policy, or no response with status 403")
	}
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	host, arn := node.guarded(t, string(policy[1]))
	response, body := node.send(t, "GET", host, "/internal/a", "")
	want := strings.ReplaceAll(string(shown[2]), "<the service's ARN>", arn)
	if response.StatusCode != 403 || body != want || response.Header.Get("x-trellis-problem") != string(shown[1]) {
		t.Errorf("%d %q, problem %q; the page has %q, problem %q", response.StatusCode, body, response.Header.Get("x-trellis-problem"), want, shown[1])
	}
	line := `level=DEBUG msg="exchange failed" part=proxy failure=ClientAccessDenied problem=` + strconv.Quote(string(shown[1]))
	trellistest.Await(t, func() bool { return strings.Contains(node.log.String(), line) }, "the log tells why the request is denied")
	if response, body := node.send(t, "GET", host, "/", ""); response.StatusCode != 404 {
		t.Errorf("what is allowed: %d %q", response.StatusCode, body)
	}
}

// TestServeTellsClientsNothingBeyondTheRefusal sends a wrong signature and a request that policies deny.
func TestServeTellsClientsNothingBeyondTheRefusal(t *testing.T) {
	node, credentials, _ := documented(t, "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	host, _ := node.guardedFor(t, node.client(profile(t, credentials, "operator")), `{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}`)
	for key, want := range map[string]string{
		"AKIAI44QH8DHBEXAMPLE": "InvalidSignatureException: The request signature we calculated does not match the signature you provided.",
		"":                     "AccessDeniedException: User: anonymous is not authorized",
	} {
		response, body := node.send(t, "GET", host, "/a", key)
		if response.StatusCode != 403 || !strings.HasPrefix(body, want) {
			t.Errorf("with the key %q: %d %q", key, response.StatusCode, body)
		}
		for name := range response.Header {
			if strings.HasPrefix(name, "X-Trellis") {
				t.Errorf("with the key %q the client gets %s: %s", key, name, response.Header.Get(name))
			}
		}
	}
	trellistest.Await(t, func() bool { return strings.Count(node.log.String(), `msg="exchange failed"`) == 2 }, "both failures are in the log")
	if log := node.log.String(); !strings.Contains(log, "InvalidSignatureException") || strings.Contains(log, "canonical") || strings.Contains(log, "UNSIGNED-PAYLOAD") {
		t.Errorf("the log must have the error alone:\n%s", log)
	}
}

func TestDevTakesAnyAccessKeyForServices(t *testing.T) {
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	host, _ := node.guarded(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"444455556666"},"Action":"*","Resource":"*"}}`)
	for key, want := range map[string]int{"": 403, "AKIDANYBODY": 403, "444455556666": 404, "777788889999": 403} {
		if response, body := node.send(t, "GET", host, "/", key); response.StatusCode != want {
			t.Errorf("signed with %q: %d %q, want %d", key, response.StatusCode, body, want)
		}
	}
}

func TestExplainSaysWhatPoliciesAllowACaller(t *testing.T) {
	node := start(t, "dev", "--port-map", fmt.Sprintf("80=%d", trellistest.FreePort(t)))
	host, _ := node.guarded(t, `{"Version":"2012-10-17","Statement":[
		{"Sid":"role","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:role/web"},"Action":"*","Resource":"*/a","Condition":{"StringEquals":{"vpc-lattice-svcs:RequestHeader/x-team":"blue"}}},
		{"Sid":"outside","Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`)
	for _, test := range []struct {
		query   url.Values
		problem string // a part of it; empty if there is none
	}{
		{url.Values{"principal": {"arn:aws:sts::111122223333:assumed-role/web/i-1"}, "path": {"/a?b"}, "header": {"X-Team:blue"}, "source": {"10.1.2.3"}}, ""},
		{url.Values{"principal": {"arn:aws:sts::111122223333:assumed-role/web/i-1"}, "path": {"/a"}, "source": {"10.1.2.3"}},
			`the policy has "blue", the request has nothing`},
		{url.Values{"path": {"/a"}, "header": {"X-Team:blue"}, "source": {"10.1.2.3"}}, `the request has "anonymous"`},
		{url.Values{"path": {"/a"}, "source": {"192.0.2.1"}},
			`"outside" of the service policy denies, as NotIpAddress aws:SourceIp has "10.0.0.0/8", and the request has "192.0.2.1"`},
	} {
		test.query.Set("host", host)
		response, err := http.Get(node.admin() + "/explain?" + test.query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		var e routing.Explanation
		err = json.NewDecoder(response.Body).Decode(&e)
		response.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if e.Authorization == nil || (e.Problem == "") != (test.problem == "") || !strings.Contains(e.Problem, test.problem) {
			t.Errorf("%v: problem %q, want one with %q; authorization %+v", test.query, e.Problem, test.problem, e.Authorization)
		}
	}
	for _, wrong := range []string{"principal=alice", "source=here", "secure=perhaps"} {
		response, err := http.Get(node.admin() + "/explain?host=" + host + "&" + wrong)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 400 {
			t.Errorf("%s: %d, want 400", wrong, response.StatusCode)
		}
	}
}
