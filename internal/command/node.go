// Package command has the commands of trellis that ask a running node, a file for each. They ask the node's admin port, as any
// program may, and know nothing else of the node.
package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// The exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Runner is a command. Its fields are its flags and arguments.
type Runner interface {
	// Run carries the command out, and returns the exit code.
	Run(ctx context.Context, t Terminal) int
}

// Terminal is where a command writes.
type Terminal struct{ Out, Err io.Writer }

// Fail writes why a command has failed, and returns the exit code.
func (t Terminal) Fail(command string, err error) int {
	fmt.Fprintf(t.Err, "trellis %s: %v\n", command, err)
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// usageError is a wrong argument.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// refusedError is the response of a node that refuses a request.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string { return e.text }

// node is a running node.
type node struct {
	admin   *url.URL
	account string // empty means the node's own, or the document's
	region  string
}

func newNode(admin, account, region string) (*node, error) {
	base, err := url.Parse(admin)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, &usageError{fmt.Sprintf("--admin %q: must be the URL of a node's admin port, as in http://127.0.0.1:7601", admin)}
	}
	return &node{base, account, region}, nil
}

// maxRefusal bounds the text with which a node refuses a request.
const maxRefusal = 64 << 10

// send sends a request and returns the body of the response. If the node requires a signature, send signs the request with the
// credentials that AWS's tools would use, and sends it again.
func (n *node) send(ctx context.Context, method, page string, query url.Values, body []byte) (io.ReadCloser, int64, error) {
	if n.account != "" {
		query.Set("account", n.account)
	}
	if n.region != "" {
		query.Set("region", n.region)
	}
	address := n.admin.JoinPath(page)
	address.RawQuery = query.Encode()
	response, err := n.attempt(ctx, method, address.String(), body, nil)
	if err == nil && response.StatusCode == http.StatusUnauthorized {
		response.Body.Close()
		response, err = n.attempt(ctx, method, address.String(), body, n.sign)
	}
	if err != nil {
		return nil, 0, err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
		return nil, 0, &refusedError{response.StatusCode, strings.TrimSpace(string(text))}
	}
	return response.Body, response.ContentLength, nil
}

func (n *node) attempt(ctx context.Context, method, address string, body []byte, sign func(*http.Request, []byte) error) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if sign != nil {
		if err := sign(request, body); err != nil {
			return nil, err
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no node answers at %s (--admin): %w", n.admin, err)
	}
	return response, nil
}

// sign signs a request with the credentials of the environment or of AWS's files. It does not ask the metadata service of EC2,
// whose keys a node does not know.
func (n *node) sign(r *http.Request, body []byte) error {
	cfg, err := config.LoadDefaultConfig(r.Context(), config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	if err != nil {
		return fmt.Errorf("reading AWS credentials: %w", err)
	}
	credentials, err := cfg.Credentials.Retrieve(r.Context())
	if err != nil {
		return fmt.Errorf("the node requires a signature, and there are no credentials; give those of its credentials file, as in AWS_SHARED_CREDENTIALS_FILE=trellis-data/credentials: %w", err)
	}
	region := n.region
	if region == "" {
		region = cfg.Region
	}
	if region == "" {
		region = "us-west-2"
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	return v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey, SessionToken: credentials.SessionToken,
	}, r, hash, "vpc-lattice", region, time.Now())
}

// get returns a page.
func (n *node) get(ctx context.Context, page string, query url.Values) ([]byte, error) {
	body, _, err := n.send(ctx, http.MethodGet, page, query, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// isTerminal reports whether what is written is shown on a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
