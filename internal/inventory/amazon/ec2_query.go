package amazon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"
)

const (
	ec2Version = "2016-11-15"
	// pageItems is how many things a page may have, the most that DescribeInstances gives.
	pageItems = "1000"
	// maxPageBytes bounds a response. A thousand instances, with all that EC2 says about them, take less.
	maxPageBytes = 64 << 20
)

// ec2Client asks EC2 by its Query API
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html). The SDK's own client takes minutes and
// gigabytes to compile, for three calls (docs/dependencies.md). Settings, credentials and signatures are the SDK's.
type ec2Client struct {
	cfg    aws.Config
	http   aws.HTTPClient
	signer *v4.Signer
}

func newEC2Client(cfg aws.Config) *ec2Client {
	c := &ec2Client{cfg: cfg, http: cfg.HTTPClient, signer: v4.NewSigner()}
	if c.http == nil {
		c.http = awshttp.NewBuildableClient()
	}
	return c
}

// pages asks for all pages of a list. Each is read into a new P, and passed to take.
func pages[P interface{ token() string }](ctx context.Context, c *ec2Client, action string, newPage func() P, take func(P)) error {
	for token := ""; ; {
		parameters := url.Values{"Action": {action}, "Version": {ec2Version}, "MaxResults": {pageItems}}
		if token != "" {
			parameters.Set("NextToken", token)
		}
		page := newPage()
		if err := c.ask(ctx, parameters, page); err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		take(page)
		if token = page.token(); token == "" {
			return nil
		}
	}
}

func (c *ec2Client) ask(ctx context.Context, parameters url.Values, page any) error {
	endpoint, err := c.endpoint(ctx)
	if err != nil {
		return err
	}
	body := []byte(parameters.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	credentials, err := c.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(body)
	if err := c.signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), "ec2", c.cfg.Region, time.Now()); err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := io.LimitReader(response.Body, maxPageBytes)
	if response.StatusCode != http.StatusOK {
		return refusal(response.Status, answer)
	}
	return xml.NewDecoder(answer).Decode(page)
}

// refusal reads an error (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
func refusal(status string, answer io.Reader) error {
	var said struct {
		Code    string `xml:"Errors>Error>Code"`
		Message string `xml:"Errors>Error>Message"`
	}
	if err := xml.NewDecoder(answer).Decode(&said); err != nil || said.Code == "" {
		return fmt.Errorf("the response is %s", status)
	}
	return &smithy.GenericAPIError{Code: said.Code, Message: said.Message}
}

// endpoint returns the address of EC2: the one that the environment or the profile names, or else that of AWS, whose services all
// have names of the same form in a Region.
func (c *ec2Client) endpoint(ctx context.Context) (string, error) {
	for _, source := range c.cfg.ConfigSources {
		if configured, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, service string) (string, bool, error)
		}); ok {
			if endpoint, found, err := configured.GetServiceBaseEndpoint(ctx, "EC2"); found || err != nil {
				return endpoint, err
			}
		}
	}
	if c.cfg.BaseEndpoint != nil {
		return *c.cfg.BaseEndpoint, nil
	}
	resolved, err := elb.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, elb.EndpointParameters{Region: &c.cfg.Region})
	if err != nil {
		return "", err
	}
	resolved.URI.Host = strings.Replace(resolved.URI.Host, "elasticloadbalancing", "ec2", 1)
	return resolved.URI.String(), nil
}
