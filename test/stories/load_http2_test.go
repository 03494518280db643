package stories_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
)

// http2Client makes requests over HTTP/2, with or without TLS.
type http2Client struct {
	url, host string
	transport *http.Transport
}

func newHTTP2Client(address, host string, secure bool) *http2Client {
	c := &http2Client{url: "http://" + host, host: host}
	protocols := new(http.Protocols)
	if secure {
		c.url = "https://" + host
		protocols.SetHTTP2(true)
	} else {
		protocols.SetUnencryptedHTTP2(true)
	}
	c.transport = &http.Transport{
		Protocols:       protocols,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	return c
}

func (c *http2Client) close() { c.transport.CloseIdleConnections() }

// getAndPost makes a GET and a POST at the same time.
func (c *http2Client) getAndPost() error {
	body := randomBytes(1 + rand.IntN(400_000))
	got := make(chan error, 1)
	go func() { got <- c.do(http.MethodGet, "/", nil, greeting) }()
	err := c.do(http.MethodPost, "/echo", body, string(body))
	if getErr := <-got; err == nil {
		err = getErr
	}
	return err
}

func (c *http2Client) download() error { return c.do(http.MethodGet, "/large", nil, largeBody) }

func (c *http2Client) do(method, path string, body []byte, want string) error {
	ctx, cancel := context.WithTimeout(context.Background(), exchangeLimit)
	defer cancel()
	var content io.Reader
	if body != nil {
		// net/http can send it again if the server says that it has not processed it (RFC 9113 8.7): a connection may have
		// come to its end, as when the process is replaced.
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, content)
	if err != nil {
		return err
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s %s is answered with %s %s %q", method, path, response.Proto, response.Status, text)
	}
	return expect(want)(response)
}
