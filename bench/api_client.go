package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// apiClient calls the Lattice API as an SDK does: JSON, signed, over connections that are kept.
type apiClient struct {
	url         string
	credentials aws.Credentials
	signer      *v4.Signer
	http        *http.Client
}

func newAPIClient(url string, credentials aws.Credentials) *apiClient {
	return &apiClient{
		url:         url,
		credentials: credentials,
		signer:      v4.NewSigner(),
		http: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 64},
			Timeout:   30 * time.Second,
		},
	}
}

// call sends a request and decodes the answer into out, if that is not nil.
func (c *apiClient) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	hash := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, c.credentials, request, hex.EncodeToString(hash[:]), "vpc-lattice", "us-west-2", time.Now()); err != nil {
		return fmt.Errorf("signing: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// readCredentials reads the administrator's keys from the file that `trellis serve` creates, which has the form of
// AWS's shared credentials file.
func readCredentials(file string) (aws.Credentials, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return aws.Credentials{}, err
	}
	var credentials aws.Credentials
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(key) {
		case "aws_access_key_id":
			credentials.AccessKeyID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			credentials.SecretAccessKey = strings.TrimSpace(value)
		}
	}
	if !credentials.HasKeys() {
		return aws.Credentials{}, errors.New(file + " holds no keys")
	}
	return credentials, nil
}
