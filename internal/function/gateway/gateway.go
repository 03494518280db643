// Package gateway makes a function look like a target of HTTP/1.1 inside this process: it hands out connections, reads the
// request on each, invokes the function with the event that VPC Lattice makes of it, and answers with what the function
// returns. So functions share everything with other targets: limits, uploads, both versions of HTTP.
//
// A failure is not a response: the connection fails with the error, one of package function or event, or a *BodyError. The
// data plane decides which response the client gets for it.
//
// Invariant: a request leads to one invocation at most.
package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/function"
	"trellis/internal/function/event"
	"trellis/internal/shape"
)

// maxHeldBytes bounds the bodies that are held for functions at once: of requests, while they are read and wait.
const maxHeldBytes = 256 << 20

// maxHeadBytes is more than the largest head that the data plane accepts.
const maxHeadBytes = 128 << 10

// Config is what a Gateway is built from.
type Config struct {
	Functions *function.Functions
	Log       *slog.Logger
}

// Gateway makes connections to functions. Its methods may be called from any goroutine.
type Gateway struct {
	cfg  Config
	held atomic.Int64 // the bytes of held bodies

	mu     sync.Mutex // mu guards the field below.
	closed bool
	served sync.WaitGroup
	ending context.Context
	end    context.CancelFunc
}

// New returns a Gateway. It works until Close.
func New(cfg Config) *Gateway {
	g := &Gateway{cfg: cfg}
	g.ending, g.end = context.WithCancel(context.Background())
	return g
}

// Close breaks off the requests under way and waits for them. Later connections fail.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.end()
	g.served.Wait()
}

var errClosed = errors.New("this node is stopping")

// Connect returns a connection for one request to a function, which gets it as an event of a version.
func (g *Gateway) Connect(arn string, version shape.LambdaEventStructureVersion) net.Conn {
	near, far := net.Pipe()
	c := &conn{Conn: near}
	c.ctx, c.cancel = context.WithCancel(g.ending)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		c.fail(errClosed)
		_ = far.Close()
		return c
	}
	g.served.Go(func() {
		defer c.cancel()
		defer far.Close()
		stop := context.AfterFunc(c.ctx, func() { _ = far.Close() })
		defer stop()
		defer func() {
			if problem := recover(); problem != nil {
				g.cfg.Log.Error("panic while a function was invoked", "problem", problem, "stack", string(debug.Stack()))
				c.fail(errors.New("a fault in this program; its log has more"))
			}
		}()
		if err := g.serve(c.ctx, far, arn, version); err != nil {
			c.fail(err)
		}
	})
	return c
}

// conn is the near end of a connection. Once its request has failed, reading and writing fail with the reason.
type conn struct {
	net.Conn
	ctx     context.Context // closed when either side is done
	cancel  context.CancelFunc
	failure atomic.Pointer[error]
}

func (c *conn) fail(err error) { c.failure.Store(&err) }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.explain(err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.explain(err)
}

func (c *conn) explain(err error) error {
	if err == nil {
		return nil
	}
	if failure := c.failure.Load(); failure != nil {
		return *failure
	}
	return err
}

func (c *conn) Close() error {
	c.cancel()
	return c.Conn.Close()
}

// BodyError says that the body of a request cannot be given to a function.
type BodyError struct {
	TooLarge bool
	Err      error
}

func (e *BodyError) Error() string {
	if e.TooLarge {
		return fmt.Sprintf("the body of the request is larger than the %d bytes that a function can be given", event.MaxBody)
	}
	return "reading the body of the request: " + e.Err.Error()
}

func (e *BodyError) Unwrap() error { return e.Err }

// serve answers the request of a connection.
func (g *Gateway) serve(ctx context.Context, far net.Conn, arn string, version shape.LambdaEventStructureVersion) error {
	r, err := http.ReadRequest(bufio.NewReader(&io.LimitedReader{R: far, N: maxHeadBytes + 2*event.MaxBody}))
	if err != nil {
		return &BodyError{Err: err}
	}
	body, release, err := g.readBody(r, far)
	if err != nil {
		return err
	}
	in := invocation(r, body, arn, version)
	answer, err := g.cfg.Functions.Invoke(ctx, in)
	release()
	if err != nil {
		return err
	}
	response, err := event.ReadResponse(answer.Payload, answer.ContentType)
	if err != nil {
		return err
	}
	_, _ = far.Write(appendResponse(nil, r.Method, response)) // An error means that the client is gone.
	return nil
}

// readBody reads the body of a request. release is called when neither it nor the event is needed any more.
func (g *Gateway) readBody(r *http.Request, far io.Writer) (body []byte, release func(), err error) {
	if r.ContentLength == 0 {
		return nil, func() {}, nil
	}
	if r.ContentLength > event.MaxBody {
		return nil, nil, &BodyError{TooLarge: true}
	}
	size := r.ContentLength
	if size < 0 {
		size = event.MaxBody
	}
	if g.held.Add(size) > maxHeldBytes {
		g.held.Add(-size)
		return nil, nil, &function.ThrottledError{Err: fmt.Errorf("the bodies that are held for functions have more than %d bytes", maxHeldBytes)}
	}
	release = sync.OnceFunc(func() { g.held.Add(-size) })
	defer func() {
		if err != nil {
			release()
		}
	}()
	if r.Header.Get("Expect") != "" {
		if _, err := io.WriteString(far, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return nil, nil, &BodyError{Err: err}
		}
	}
	var b bytes.Buffer
	n, err := b.ReadFrom(io.LimitReader(r.Body, event.MaxBody+1))
	switch {
	case err != nil:
		return nil, nil, &BodyError{Err: err}
	case n > event.MaxBody:
		return nil, nil, &BodyError{TooLarge: true}
	}
	return b.Bytes(), release, nil
}

// invocation makes the event of a request. Headers that only the data plane sets name the service
// (docs.aws.amazon.com/vpc-lattice/latest/ug/http-targets.html).
func invocation(r *http.Request, body []byte, arn string, version shape.LambdaEventStructureVersion) function.Invocation {
	target := fields(r.Header.Get("X-Amzn-Lattice-Target"))
	network := r.Header.Get("X-Amzn-Lattice-Network")
	identity := r.Header.Get("X-Amzn-Lattice-Identity")
	e := event.Request{
		Method:            r.Method,
		Path:              r.RequestURI,
		Headers:           headers(r),
		Body:              body,
		RequestID:         r.Header.Get("X-Amzn-Requestid"),
		ServiceARN:        target["ServiceArn"],
		ServiceNetworkARN: target["ServiceNetworkArn"],
		TargetGroupARN:    target["TargetGroupArn"],
		Region:            region(target["TargetGroupArn"]),
		Identity:          identityOf(fields(identity), fields(network)["SourceVpcArn"]),
		LatticeNetwork:    network,
		LatticeIdentity:   identity,
		Time:              time.Now(),
	}
	in := function.Invocation{ARN: arn, RequestID: e.RequestID, TraceID: r.Header.Get("X-Amzn-Trace-Id")}
	if version == shape.LambdaEventStructureVersionV2 {
		in.Event = event.V2(&e)
	} else {
		in.Event = event.V1(&e)
	}
	return in
}
