package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/smithy-go"

	"trellis/internal/audit"
	"trellis/test/trellistest"
)

// documented starts a node with the credentials and the policy of docs/security.md, and returns it, the path of the
// credentials file and that of the audit log.
func documented(t *testing.T, args ...string) (node *running, credentials, auditLog string) {
	t.Helper()
	dir := t.TempDir()
	credentials = filepath.Join(dir, "credentials")
	for path, content := range map[string]string{
		credentials:                     codeBlocks(t, "security.md", "ini")[0],
		filepath.Join(dir, "team.json"): codeBlocks(t, "security.md", "json")[0],
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	return start(t, append([]string{"serve", "--data-dir", data, "--credentials", credentials}, args...)...), credentials, filepath.Join(data, "audit.log")
}

// code returns the code of an API's error, or "" for success.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var failure smithy.APIError
	if !errors.As(err, &failure) {
		t.Fatalf("no answer of the API: %v", err)
	}
	return failure.ErrorCode()
}

func TestPolicyInTheDocumentationDoesWhatItSays(t *testing.T) {
	node, credentials, auditLog := documented(t)
	ctx := t.Context()
	operator, blue := node.client(profile(t, credentials, "operator")), node.client(profile(t, credentials, "blue"))
	createService := func(c *vpclattice.Client, name string, tags map[string]string) (id, arn string, err error) {
		out, err := c.CreateService(ctx, &vpclattice.CreateServiceInput{Name: &name, Tags: tags})
		if err != nil {
			return "", "", err
		}
		return *out.Id, *out.Arn, nil
	}
	mine, mineARN, err := createService(blue, "paint", map[string]string{"team": "blue"})
	if err != nil {
		t.Fatalf("its own service: %v", err)
	}
	others, _, err := createService(operator, "brush", nil)
	if err != nil {
		t.Fatalf("the operator's service: %v", err)
	}
	_, _, err = createService(blue, "bucket", nil)
	if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(codeBlocks(t, "security.md", "text")[0])) {
		t.Errorf("a service without its tag: %v, want the text in the documentation", err)
	}
	const denied = "AccessDeniedException"
	for name, tc := range map[string]struct {
		err  error
		code string
	}{
		"see another's service":      {second(blue.GetService(ctx, &vpclattice.GetServiceInput{ServiceIdentifier: &others})), ""},
		"list":                       {second(blue.ListServices(ctx, &vpclattice.ListServicesInput{})), ""},
		"another team's tag":         {third(createService(blue, "bucket", map[string]string{"team": "green"})), denied},
		"create a network":           {second(blue.CreateServiceNetwork(ctx, &vpclattice.CreateServiceNetworkInput{Name: aws.String("net")})), denied},
		"change its own":             {second(blue.UpdateService(ctx, &vpclattice.UpdateServiceInput{ServiceIdentifier: &mine, AuthType: "AWS_IAM"})), ""},
		"change another's":           {second(blue.UpdateService(ctx, &vpclattice.UpdateServiceInput{ServiceIdentifier: &others, AuthType: "AWS_IAM"})), denied},
		"tag its own":                {second(blue.TagResource(ctx, &vpclattice.TagResourceInput{ResourceArn: &mineARN, Tags: map[string]string{"color": "red"}})), ""},
		"create one with two tags":   {third(createService(blue, "bucket", map[string]string{"team": "blue", "Team": "green"})), denied},
		"tag its own in capitals":    {second(blue.TagResource(ctx, &vpclattice.TagResourceInput{ResourceArn: &mineARN, Tags: map[string]string{"Team": "green"}})), denied},
		"untag its own in capitals":  {second(blue.UntagResource(ctx, &vpclattice.UntagResourceInput{ResourceArn: &mineARN, TagKeys: []string{"TEAM"}})), denied},
		"give its own away":          {second(blue.TagResource(ctx, &vpclattice.TagResourceInput{ResourceArn: &mineARN, Tags: map[string]string{"team": "red"}})), denied},
		"delete another's":           {second(blue.DeleteService(ctx, &vpclattice.DeleteServiceInput{ServiceIdentifier: &others})), denied},
		"the operator does it all":   {second(operator.DeleteService(ctx, &vpclattice.DeleteServiceInput{ServiceIdentifier: &others})), ""},
		"delete what does not exist": {second(blue.DeleteService(ctx, &vpclattice.DeleteServiceInput{ServiceIdentifier: aws.String("svc-00000000000000000")})), denied},
	} {
		if got := code(t, tc.err); got != tc.code {
			t.Errorf("%s: %q, want %q (%v)", name, got, tc.code, tc.err)
		}
	}

	// The audit log's goroutine may still be writing.
	var entries []audit.Entry
	trellistest.Await(t, func() bool {
		entries = readAudit(t, auditLog)
		return len(entries) >= 15
	}, "the audit log has 15 entries")
	first := entries[0]
	if first.Principal != "arn:aws:iam::111122223333:user/pipelines/blue" || first.Operation != "CreateService" || first.Status != 201 || first.ID != mine || first.ARN != mineARN || first.AccessKeyID != "AKIAI44QH8DHBEXAMPLE" || first.SourceIP != "127.0.0.1" {
		t.Errorf("the first entry of the audit log is %+v", first)
	}
	if slices.ContainsFunc(entries, func(e audit.Entry) bool {
		return strings.HasPrefix(e.Operation, "Get") || strings.HasPrefix(e.Operation, "List")
	}) {
		t.Errorf("a read is in the audit log: %+v", entries)
	}
	if !strings.Contains(node.log.String(), first.RequestID) {
		t.Error("the log does not name the request id of the audit log")
	}
}

func second[T any](_ T, err error) error { return err }

func third[T, U any](_ T, _ U, err error) error { return err }

// readAudit reads what has been written to an audit log.
func readAudit(t *testing.T, path string) []audit.Entry {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entries []audit.Entry
	for line := range strings.Lines(string(content)) {
		var e audit.Entry
		if json.Unmarshal([]byte(line), &e) == nil {
			entries = append(entries, e)
		}
	}
	return entries
}

func TestAuditLineInTheDocumentationHasTheMembersOfRealOnes(t *testing.T) {
	decoder := json.NewDecoder(strings.NewReader(codeBlocks(t, "security.md", "json")[2]))
	decoder.DisallowUnknownFields()
	var e audit.Entry
	if err := decoder.Decode(&e); err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := json.NewEncoder(&again).Encode(e); err != nil {
		t.Fatal(err)
	}
	if again.String() != codeBlocks(t, "security.md", "json")[2] {
		t.Errorf("it is written as\n%s", again.String())
	}
}

func TestClientsGetAWSsCodesForWrongSignatures(t *testing.T) {
	node, _, _ := documented(t)
	good := aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}
	with := func(change func(*aws.Credentials)) aws.CredentialsProvider {
		changed := good
		change(&changed)
		return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return changed, nil })
	}
	for name, tc := range map[string]struct {
		credentials aws.CredentialsProvider
		code        string
	}{
		"right":         {with(func(*aws.Credentials) {}), ""},
		"no signature":  {aws.AnonymousCredentials{}, "MissingAuthenticationToken"},
		"unknown key":   {with(func(c *aws.Credentials) { c.AccessKeyID = "AKIAOTHER" }), "InvalidClientTokenId"},
		"unknown token": {with(func(c *aws.Credentials) { c.SessionToken = "token-that-is-secret" }), "InvalidClientTokenId"},
		"wrong secret":  {with(func(c *aws.Credentials) { c.SecretAccessKey = "wrong" }), "SignatureDoesNotMatch"},
	} {
		c := node.client(aws.Config{Region: "us-west-2", Credentials: tc.credentials})
		_, err := c.ListServices(t.Context(), &vpclattice.ListServicesInput{})
		if got := code(t, err); got != tc.code {
			t.Errorf("%s: %q, want %q (%v)", name, got, tc.code, err)
		}
	}

	elsewhere := node.client(aws.Config{Region: "eu-west-1", Credentials: with(func(*aws.Credentials) {})})
	if _, err := elsewhere.ListServices(t.Context(), &vpclattice.ListServicesInput{}); code(t, err) != "SignatureDoesNotMatch" || !strings.Contains(err.Error(), "--regions") {
		t.Errorf("a Region that is not served: %v", err)
	}

	now := time.Now()
	for _, tc := range []struct {
		name, service string
		at            time.Time
		tamper        func(*http.Request)
		status        int
		code          string
	}{
		{"right", "vpc-lattice", now, nil, 200, ""},
		{"four minutes old", "vpc-lattice", now.Add(-4 * time.Minute), nil, 200, ""},
		{"six minutes old", "vpc-lattice", now.Add(-6 * time.Minute), nil, 400, "RequestExpired"},
		{"six minutes ahead", "vpc-lattice", now.Add(6 * time.Minute), nil, 400, "RequestExpired"},
		{"another service", "vpc-lattice-svcs", now, nil, 403, "SignatureDoesNotMatch"},
		{"another query", "vpc-lattice", now, func(r *http.Request) { r.URL.RawQuery = "maxResults=1" }, 403, "SignatureDoesNotMatch"},
		{"another scheme", "vpc-lattice", now, func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 400, "IncompleteSignature"},
	} {
		if status, got := node.signed(t, good, tc.service, tc.at, tc.tamper); status != tc.status || got != tc.code {
			t.Errorf("%s: %d %q, want %d %q", tc.name, status, got, tc.status, tc.code)
		}
	}
	// The response shows the headers as they should have been signed; the log must not.
	if strings.Contains(node.log.String(), "token-that-is-secret") {
		t.Error("the log holds a session token")
	}
}

// signed sends a request that is signed as specified, and returns the status and the code of the response.
func (r *running) signed(t *testing.T, credentials aws.Credentials, service string, at time.Time, tamper func(*http.Request)) (int, string) {
	t.Helper()
	request, err := http.NewRequest("GET", r.url+"/services", nil)
	if err != nil {
		t.Fatal(err)
	}
	empty := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(t.Context(), credentials, request, hex.EncodeToString(empty[:]), service, "us-west-2", at); err != nil {
		t.Fatal(err)
	}
	if tamper != nil {
		tamper(request)
	}
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("x-amzn-ErrorType")
}

func TestCallersLearnWhoTheyAre(t *testing.T) {
	node, credentials, _ := documented(t)
	c := sts.NewFromConfig(profile(t, credentials, "blue"), func(o *sts.Options) { o.BaseEndpoint = &node.url })
	out, err := c.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Arn != "arn:aws:iam::111122223333:user/pipelines/blue" || *out.Account != "111122223333" || !strings.HasPrefix(*out.UserId, "AIDA") {
		t.Errorf("it is %s of %s, %s", *out.Arn, *out.Account, *out.UserId)
	}
	_, err = c.GetFederationToken(t.Context(), &sts.GetFederationTokenInput{Name: aws.String("somebody")})
	if got := code(t, err); got != "InvalidAction" {
		t.Errorf("GetFederationToken: %q (%v)", got, err)
	}
}

func TestWebPagesOfOthersCannotChangeAnything(t *testing.T) {
	node := start(t, "dev")
	for origin, want := range map[string]int{"": http.StatusCreated, "http://evil.example": http.StatusForbidden} {
		request, err := http.NewRequest("POST", node.url+"/services", strings.NewReader(`{"name":"web"}`))
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			// What a browser sends with a form or a script of another site.
			request.Header.Set("Origin", origin)
			request.Header.Set("Sec-Fetch-Site", "cross-site")
			request.Header.Set("Content-Type", "text/plain")
		}
		res, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("from %q: answered %d, want %d", origin, res.StatusCode, want)
		}
	}
}
