package server

import (
	"io"
	"net/http"
	"testing"
	"time"
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
