package main

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"
)

// The scope of the signatures.
const (
	signedRegion  = "us-west-2"
	signedService = "vpc-lattice"
)

// callTimeout bounds one call, so that a broken server does not hang the bench.
const callTimeout = 30 * time.Second

// keys are an access key and its secret.
type keys struct{ id, secret string }

// apiClient calls the Lattice API: JSON, signed with SigV4, over a connection that is kept if the server keeps it.
// It is written by hand because server and clients share the machine's cores: an SDK, or net/http, would need more
// CPU for a call than the server. One goroutine at a time can use it.
type apiClient struct {
	address string
	keys    keys

	conn    net.Conn // nil until it is needed
	reader  *bufio.Reader
	request []byte
	body    []byte

	day    string // of key
	key    hash.Hash
	digest hash.Hash
	sum    [sha256.Size]byte
	hex    [2 * sha256.Size]byte
}

func newAPIClient(address string, keys keys) *apiClient {
	return &apiClient{address: address, keys: keys, digest: sha256.New()}
}

func (c *apiClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// call sends a request, in as JSON, and decodes the response into out, if that is not nil.
func (c *apiClient) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	answer, err := c.send(ctx, method, path, "", body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// send sends a request and returns the body of the response, which is valid until the next call. Path and query must have the
// form that is signed: encoded, with the query's parameters sorted.
func (c *apiClient) send(ctx context.Context, method, path, query string, body []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	kept := c.conn != nil
	status, err := c.exchange(method, path, query, body)
	if kept && errors.Is(err, io.EOF) {
		// The server closed the kept connection before it saw the request.
		status, err = c.exchange(method, path, query, body)
	}
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("status %d: %s", status, c.body)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return c.body, nil
}

func (c *apiClient) exchange(method, path, query string, body []byte) (status int, err error) {
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", c.address); err != nil {
			c.conn = nil
			return 0, err
		}
		c.reader = bufio.NewReader(c.conn)
	}
	c.conn.SetDeadline(time.Now().Add(callTimeout))
	c.write(method, path, query, body, time.Now().UTC())
	_, err = c.conn.Write(c.request)
	keep := false
	if err == nil {
		status, keep, err = c.read()
	}
	if err != nil || !keep {
		c.close()
	}
	return status, err
}

// write makes the request, with the current time in its signature.
func (c *apiClient) write(method, path, query string, body []byte, now time.Time) {
	const stampForm, signed = "20060102T150405Z", "content-type;host;x-amz-date"
	stamp := now.Format(stampForm)
	day := stamp[:8]
	if day != c.day {
		c.day, c.key = day, hmac.New(sha256.New, c.signingKey(day))
	}

	c.digest.Reset()
	c.digest.Write(body)
	bodyHash := c.hexSum(c.digest)
	b := append(c.request[:0], method...)
	b = append(append(append(append(b, '\n'), path...), '\n'), query...)
	b = append(append(b, "\ncontent-type:application/json\nhost:"...), c.address...)
	b = append(append(append(b, "\nx-amz-date:"...), stamp...), "\n\n"+signed+"\n"...)
	b = append(b, bodyHash...)
	c.digest.Reset()
	c.digest.Write(b)
	requestHash := c.hexSum(c.digest)

	scope := day + "/" + signedRegion + "/" + signedService + "/aws4_request"
	b = append(b[:0], "AWS4-HMAC-SHA256\n"...)
	b = append(append(append(append(b, stamp...), '\n'), scope...), '\n')
	b = append(b, requestHash...)
	c.key.Reset()
	c.key.Write(b)
	signature := c.hexSum(c.key)

	b = append(append(append(b[:0], method...), ' '), path...)
	if query != "" {
		b = append(append(b, '?'), query...)
	}
	b = append(append(b, " HTTP/1.1\r\nHost: "...), c.address...)
	b = append(append(b, "\r\nContent-Type: application/json\r\nX-Amz-Date: "...), stamp...)
	b = append(append(b, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...), c.keys.id...)
	b = append(append(append(b, '/'), scope...), ", SignedHeaders="+signed+", Signature="...)
	b = append(append(b, signature...), "\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	c.request = append(b, body...)
}

func (c *apiClient) signingKey(day string) []byte {
	key := []byte("AWS4" + c.keys.secret)
	for _, part := range []string{day, signedRegion, signedService, "aws4_request"} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return key
}

// hexSum returns a hash's sum in hexadecimal digits, which are valid until the next call.
func (c *apiClient) hexSum(h hash.Hash) []byte {
	hex.Encode(c.hex[:], h.Sum(c.sum[:0]))
	return c.hex[:]
}

// read reads a response, its body into c.body, and reports whether the server keeps the connection.
func (c *apiClient) read() (status int, keep bool, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, false, fmt.Errorf("the response begins with %q", line)
	}
	keep = string(line[:8]) == "HTTP/1.1"
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length := -1
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return 0, false, err
		}
		line = textproto.TrimBytes(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch value = strings.TrimSpace(value); {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(value); err != nil {
				return 0, false, err
			}
		case strings.EqualFold(name, "Connection"):
			keep = strings.EqualFold(value, "keep-alive")
		case strings.EqualFold(name, "Transfer-Encoding"):
			return 0, false, fmt.Errorf("the response has Transfer-Encoding %s", value)
		}
	}
	if length < 0 {
		if status == 204 {
			length = 0
		} else {
			c.body, err = io.ReadAll(c.reader)
			return status, false, err
		}
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.reader, c.body)
	return status, keep, err
}

// readCredentials reads the administrator's keys from the file that `trellis serve` creates, which has the form of
// AWS's shared credentials file.
func readCredentials(file string) (keys, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return keys{}, err
	}
	var k keys
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			k.id = strings.TrimSpace(value)
		case "aws_secret_access_key":
			k.secret = strings.TrimSpace(value)
		}
	}
	if k.id == "" || k.secret == "" {
		return keys{}, errors.New(file + " holds no keys")
	}
	return k, nil
}
