package proxy

import (
	"strings"
	"testing"

	wire "golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"trellis/internal/lattice"
	"trellis/internal/proxy/exchange"
	"trellis/internal/shape"
)

func TestGRPCClientIsRefusedInGRPC(t *testing.T) {
	for _, test := range []struct {
		name  string
		setUp func(w *world)
		want  codes.Code
		text  string
	}{
		{"target that cannot be reached", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, refusing(w.t))
		}, codes.Unavailable, "Internal Server Error"},
		{"target of HTTP2 that cannot be reached", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp2, refusing(w.t))
		}, codes.Unavailable, "Internal Server Error"},
		{"no target", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionGrpc)
		}, codes.Unavailable, "service not available"},
		{"target that breaks the connection", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, breakingHTTP2(w.t, false))
		}, codes.Unavailable, "Bad Gateway"},
		{"target that is silent", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, reluctant(w.t, func(*wire.Framer, uint32, int) {}))
			w.setIdleTimeout(3)
		}, codes.Unavailable, "Gateway Timeout"},
		{"target group of HTTP1", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionHttp1, answering(w.t, "HTTP/1.1 200 OK\r\n\r\n"))
		}, codes.Unimplemented, "Bad Gateway"},
		{"authorization", func(w *world) {
			w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, refusing(w.t))
			service := *w.records[lattice.ServiceKey(scope, "svc-1")].(*lattice.Service)
			service.AuthType = shape.AuthTypeAwsIam
			w.put(&service)
		}, codes.PermissionDenied, "AccessDeniedException: User: anonymous is not authorized to perform: vpc-lattice-svcs:Invoke on resource: " + serviceARN +
			"/test.Echo/Unary because no service-based policy allows the vpc-lattice-svcs:Invoke action"},
		{"unknown host", func(w *world) {
			w.service("svc-2", 80, respondWith(404))
		}, codes.Unimplemented, "Not Found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			test.setUp(w)
			conn := w.grpcClient(grpc.WithDisableRetry())
			err := conn.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes([]byte("hello")), new(wrapperspb.BytesValue))
			if got := status.Convert(err); got.Code() != test.want || got.Message() != test.text {
				t.Errorf("unary call: %v %q, want %v %q", got.Code(), got.Message(), test.want, test.text)
			}
			stream := open(t, grpcContext(t), conn, "Both")
			sendMessage(stream, "one")
			if test.text == exchange.LateTarget.Text {
				stream.CloseSend() // Else it is the client that is late.
			}
			if _, err := receiveMessage(stream); status.Code(err) != test.want {
				t.Errorf("stream: %v, want %v", err, test.want)
			}
			for _, record := range w.accessLog(2) {
				if record.Status != 200 || !record.HasGRPCStatus || record.GRPCStatus != int(test.want) {
					t.Errorf("record: status %d, of gRPC %d", record.Status, record.GRPCStatus)
				}
			}

			// The response is one header block, which ends the stream.
			c := w.dialFrames()
			c.request(1, true, "POST", "/test.Echo/Unary", "content-type", "application/grpc+proto", "te", "trailers")
			if got := c.headers(); got[":status"] != "200" || got["content-type"] != "application/grpc" || got["content-length"] != "" {
				t.Errorf("headers %v", got)
			}
		})
	}
}

func TestOtherClientsAreRefusedInHTTP(t *testing.T) {
	w := newWorld(t)
	w.http2Storefront(shape.TargetGroupProtocolVersionGrpc)
	for _, contentType := range []string{"application/json", "application/grpc-web", "application/grpcx", ""} {
		request, _ := newRequest("POST", contentType)
		if got := do(t, w.http2Client(), request); got.StatusCode != 503 || got.Header.Get("Grpc-Status") != "" {
			t.Errorf("%q: %d, %v", contentType, got.StatusCode, got.Header)
		}
	}
	c := w.dial()
	c.send("POST / HTTP/1.1\r\nHost: %s\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n", host)
	if got := c.receive("POST"); got.StatusCode != 502 { // gRPC needs HTTP/2.
		t.Errorf("HTTP/1.1: %d", got.StatusCode)
	}
}

func TestFixedResponseReachesGRPCClientsAsItIs(t *testing.T) {
	w := newWorld(t)
	w.service("svc-1", 80, respondWith(404))
	request, _ := newRequest("POST", "application/grpc")
	if got := do(t, w.http2Client(), request); got.StatusCode != 404 || got.body != "Not Found" {
		t.Errorf("got %d %q", got.StatusCode, got.body)
	}
	err := w.grpcClient().Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "404") {
		t.Errorf("a client of gRPC takes it for %v", err)
	}
}
