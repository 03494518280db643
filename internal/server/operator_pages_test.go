package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// TestDocumentIsNotReadBeforeItsKeyIsKnown sends heads alone: a response comes although the body never does.
func TestDocumentIsNotReadBeforeItsKeyIsKnown(t *testing.T) {
	node := start(t, "serve", "--data-dir", t.TempDir())
	for name, authorization := range map[string]string{
		"unsigned":    "",
		"unknown key": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/" + time.Now().UTC().Format("20060102") + "/us-west-2/vpc-lattice/aws4_request, SignedHeaders=host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000",
	} {
		t.Run(name, func(t *testing.T) {
			body, end := io.Pipe()
			defer end.Close()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, node.admin()+"/import", body)
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = maxDocument
			if authorization != "" {
				request.Header.Set("Authorization", authorization)
				request.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
			}
			client := http.Client{Timeout: time.Minute}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden {
				t.Errorf("status %d", response.StatusCode)
			}
		})
	}
}

// TestThePolicyOfThePageAllowsANetworkAndNoBackup signs requests to the admin port, as a principal with the policy of
// docs/security.md, as one with all rights in another account, and as one in the node's.
func TestThePolicyOfThePageAllowsANetworkAndNoBackup(t *testing.T) {
	var pipeline bytes.Buffer
	if err := json.Compact(&pipeline, []byte(codeBlocks(t, "security.md", "json")[1])); err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(t.TempDir(), "credentials")
	const all = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	text := ""
	for name, of := range map[string]struct{ account, policy string }{
		"pipeline": {"111122223333", pipeline.String()}, "other": {"444455556666", all}, "owner": {"000000000000", all}, "nobody": {"111122223333", `{"Statement":{"Effect":"Allow","Action":"vpc-lattice:*","Resource":"*"}}`},
	} {
		text += fmt.Sprintf("[%s]\naws_access_key_id = %s\naws_secret_access_key = any\ntrellis_account = %s\ntrellis_policy = %s\n", name, name, of.account, of.policy)
	}
	if err := os.WriteFile(credentials, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, "serve", "--data-dir", t.TempDir(), "--credentials", credentials)
	const network = "trellis: 1\naccount: '111122223333'\nregion: us-west-2\n"
	for _, test := range []struct {
		who, method, page, body string
		want                    int
	}{
		{"pipeline", "GET", "/export", "", 200},
		{"pipeline", "POST", "/import", network, 200},
		{"pipeline", "GET", "/backup", "", 403},
		{"pipeline", "GET", "/export?account=444455556666", "", 403},
		{"nobody", "GET", "/export", "", 403},
		{"nobody", "POST", "/import", network, 403},
		{"other", "GET", "/export", "", 200},
		{"other", "GET", "/export?account=111122223333", "", 403},
		{"other", "GET", "/backup", "", 403},
		{"owner", "GET", "/backup", "", 200},
		{"owner", "POST", "/reset", "", 404},
	} {
		request, err := http.NewRequest(test.method, node.admin()+test.page, bytes.NewReader([]byte(test.body)))
		if err != nil {
			t.Fatal(err)
		}
		hash := fmt.Sprintf("%x", sha256.Sum256([]byte(test.body)))
		request.Header.Set("X-Amz-Content-Sha256", hash)
		err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: test.who, SecretAccessKey: "any"}, request, hash, "vpc-lattice", "us-west-2", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != test.want {
			t.Errorf("%s: %s %s: %d, want %d: %s %v", test.who, test.method, test.page, response.StatusCode, test.want, answer, err)
		}
	}
}
