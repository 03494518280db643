package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"trellis/internal/accesslog"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// grpcService is a gRPC service that the tests script.
type grpcService struct {
	unary  func(ctx context.Context, in []byte) ([]byte, error)
	stream func(stream grpc.ServerStream) error
}

// serve runs the service on a real server and returns its address.
func (e *grpcService) serve(t testing.TB, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	stream := func(name string, fromClient, fromServer bool) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ClientStreams: fromClient, ServerStreams: fromServer,
			Handler: func(_ any, stream grpc.ServerStream) error { return e.stream(stream) }}
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := new(wrapperspb.BytesValue)
			if err := decode(in); err != nil {
				return nil, err
			}
			out, err := e.unary(ctx, in.Value)
			return wrapperspb.Bytes(out), err
		}}},
		Streams: []grpc.StreamDesc{stream("Client", true, false), stream("Server", false, true), stream("Both", true, true)},
	}, e)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// grpcClient returns a real client of svc-1 behind the proxy.
func (w *world) grpcClient(options ...grpc.DialOption) *grpc.ClientConn {
	w.t.Helper()
	options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(host),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	conn, err := grpc.NewClient("passthrough:///"+w.proxy.Addr(80).String(), options...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func grpcContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// open opens a stream of the method.
func open(t testing.TB, ctx context.Context, conn *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/test.Echo/"+method)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// messages is what the two sides of a stream have in common.
type messages interface {
	SendMsg(message any) error
	RecvMsg(message any) error
}

func sendMessage(stream messages, text string) error {
	return stream.SendMsg(wrapperspb.Bytes([]byte(text)))
}

func receiveMessage(stream messages) (string, error) {
	message := new(wrapperspb.BytesValue)
	err := stream.RecvMsg(message)
	return string(message.Value), err
}

func newGRPCWorld(t testing.TB, service *grpcService, change ...func(*Config)) (*world, *grpc.ClientConn) {
	t.Helper()
	w := newWorld(t, change...)
	w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, service.serve(t, grpc.MaxRecvMsgSize(64<<20)))
	return w, w.grpcClient()
}

// newSecureGRPCWorld is the same with TLS to the listener and to the target.
func newSecureGRPCWorld(t testing.TB, service *grpcService) (*world, *grpc.ClientConn) {
	t.Helper()
	w := newSecureWorld(t)
	w.targetGroup("tg-1", shape.TargetGroupProtocolHttps)
	w.setVersion("tg-1", shape.TargetGroupProtocolVersionGrpc)
	w.put(w.targets("tg-1", service.serve(t, grpc.Creds(credentials.NewTLS(w.site("any.test"))))))
	w.listen("svc-1", shape.ListenerProtocolHttps, 443, "tg-1")
	conn, err := grpc.NewClient("passthrough:///"+w.proxy.Addr(443).String(), grpc.WithTransportCredentials(credentials.NewTLS(w.client(host))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return w.world, conn
}

// eachListener runs a test through an HTTP and an HTTPS listener.
func eachListener(t *testing.T, test func(t *testing.T, start func(*grpcService) (*world, *grpc.ClientConn))) {
	t.Run("HTTP", func(t *testing.T) {
		test(t, func(service *grpcService) (*world, *grpc.ClientConn) { return newGRPCWorld(t, service) })
	})
	t.Run("HTTPS", func(t *testing.T) {
		test(t, func(service *grpcService) (*world, *grpc.ClientConn) { return newSecureGRPCWorld(t, service) })
	})
}

func TestGRPCUnaryCall(t *testing.T) { eachListener(t, testGRPCUnaryCall) }

func testGRPCUnaryCall(t *testing.T, start func(*grpcService) (*world, *grpc.ClientConn)) {
	w, conn := start(&grpcService{unary: func(ctx context.Context, in []byte) ([]byte, error) {
		incoming, _ := metadata.FromIncomingContext(ctx)
		grpc.SetHeader(ctx, metadata.Pairs("first", "1", "seen-bin", strings.Join(incoming.Get("custom-bin"), "|")))
		grpc.SetTrailer(ctx, metadata.Pairs("last", "2"))
		if len(incoming.Get("x-amzn-lattice-target")) != 1 || incoming.Get(":authority")[0] != host {
			return nil, status.Errorf(codes.Internal, "metadata %v", incoming)
		}
		return append([]byte("re: "), in...), nil
	}})
	ctx := metadata.AppendToOutgoingContext(grpcContext(t), "custom-bin", "\x00\xff")
	var header, trailer metadata.MD
	out := new(wrapperspb.BytesValue)
	for range 3 {
		if err := conn.Invoke(ctx, "/test.Echo/Unary", wrapperspb.Bytes([]byte("hello")), out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
			t.Fatal(err)
		}
		if string(out.Value) != "re: hello" || header.Get("first")[0] != "1" || header.Get("seen-bin")[0] != "\x00\xff" || trailer.Get("last")[0] != "2" {
			t.Errorf("answer %q, header %v, trailer %v", out.Value, header, trailer)
		}
	}
	if record := w.accessLog(3)[2]; record.Status != 200 || record.Failure != "" || record.Protocol != "HTTP/2" {
		t.Errorf("record %+v", record)
	}
}

func TestGRPCErrorsArriveWithTheirDetails(t *testing.T) {
	_, conn := newGRPCWorld(t, &grpcService{unary: func(ctx context.Context, in []byte) ([]byte, error) {
		grpc.SetTrailer(ctx, metadata.Pairs("last", "2"))
		return nil, status.Error(codes.ResourceExhausted, "no more: ünïcode\n")
	}})
	var trailer metadata.MD
	err := conn.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue), grpc.Trailer(&trailer))
	if status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != "no more: ünïcode\n" || len(trailer.Get("last")) != 1 {
		t.Errorf("error %v, trailer %v", err, trailer)
	}
	err = conn.Invoke(grpcContext(t), "/test.Echo/Nothing", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue))
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("unknown method: %v", err)
	}
}

func TestGRPCStreams(t *testing.T) { eachListener(t, testGRPCStreams) }

func testGRPCStreams(t *testing.T, start func(*grpcService) (*world, *grpc.ClientConn)) {
	for _, test := range []struct {
		method string
		serve  func(stream grpc.ServerStream) error
		call   func(t *testing.T, stream grpc.ClientStream)
	}{
		{"Client", func(stream grpc.ServerStream) error {
			var all strings.Builder
			for {
				text, err := receiveMessage(stream)
				if err == io.EOF {
					return sendMessage(stream, all.String())
				}
				if err != nil {
					return err
				}
				all.WriteString(text)
			}
		}, func(t *testing.T, stream grpc.ClientStream) {
			for range 100 {
				sendMessage(stream, "0123456789")
			}
			stream.CloseSend()
			if got, err := receiveMessage(stream); err != nil || got != strings.Repeat("0123456789", 100) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		}},
		{"Server", func(stream grpc.ServerStream) error {
			if text, err := receiveMessage(stream); err != nil || text != "go" {
				return status.Errorf(codes.Internal, "%q %v", text, err)
			}
			for range 1000 {
				if err := sendMessage(stream, "0123456789"); err != nil {
					return err
				}
			}
			return nil
		}, func(t *testing.T, stream grpc.ClientStream) {
			sendMessage(stream, "go")
			stream.CloseSend()
			count := 0
			for {
				text, err := receiveMessage(stream)
				if err == io.EOF {
					break
				}
				if err != nil || text != "0123456789" {
					t.Fatalf("message %d: %q, %v", count, text, err)
				}
				count++
			}
			if count != 1000 {
				t.Errorf("%d messages", count)
			}
		}},
		{"Both", func(stream grpc.ServerStream) error {
			for {
				text, err := receiveMessage(stream)
				if err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				if err := sendMessage(stream, "re: "+text); err != nil {
					return err
				}
			}
		}, func(t *testing.T, stream grpc.ClientStream) {
			for range 100 { // Each response comes while the request is open.
				sendMessage(stream, "ping")
				if got, err := receiveMessage(stream); err != nil || got != "re: ping" {
					t.Fatalf("got %q, %v", got, err)
				}
			}
			stream.CloseSend()
			if _, err := receiveMessage(stream); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}},
	} {
		t.Run(test.method, func(t *testing.T) {
			_, conn := start(&grpcService{stream: test.serve})
			test.call(t, open(t, grpcContext(t), conn, test.method))
		})
	}
}

// The hazard is a proxy that delivers nothing more until the client closes its body (golang/go#80085).
func TestTrailersDoNotWaitForRequestBody(t *testing.T) {
	_, conn := newGRPCWorld(t, &grpcService{stream: func(stream grpc.ServerStream) error {
		receiveMessage(stream)
		sendMessage(stream, "enough")
		stream.SetTrailer(metadata.Pairs("last", "2"))
		return status.Error(codes.FailedPrecondition, "no more, please")
	}})
	stream := open(t, grpcContext(t), conn, "Both")
	sendMessage(stream, "one")
	if got, err := receiveMessage(stream); err != nil || got != "enough" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := receiveMessage(stream); status.Code(err) != codes.FailedPrecondition || len(stream.Trailer().Get("last")) != 1 {
		t.Errorf("error %v, trailer %v", err, stream.Trailer())
	}
}

func TestGRPCErrorBeforeAnyMessageDoesNotWaitForRequestBody(t *testing.T) {
	_, conn := newGRPCWorld(t, &grpcService{stream: func(stream grpc.ServerStream) error {
		return status.Error(codes.PermissionDenied, "not you")
	}})
	stream := open(t, grpcContext(t), conn, "Client")
	if _, err := receiveMessage(stream); status.Code(err) != codes.PermissionDenied {
		t.Errorf("error %v", err)
	}
}

func TestGRPCDeadlineAndCancellationReachTheTarget(t *testing.T) {
	ended := make(chan error, 1)
	var hadDeadline atomic.Bool
	w, conn := newGRPCWorld(t, &grpcService{
		unary: func(ctx context.Context, in []byte) ([]byte, error) {
			_, ok := ctx.Deadline()
			hadDeadline.Store(ok)
			return in, nil
		},
		stream: func(stream grpc.ServerStream) error {
			sendMessage(stream, "begun")
			<-stream.Context().Done()
			ended <- stream.Context().Err()
			return stream.Context().Err()
		},
	})
	if err := conn.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes(nil), new(wrapperspb.BytesValue)); err != nil || !hadDeadline.Load() {
		t.Errorf("error %v; the target knew the deadline: %v", err, hadDeadline.Load())
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream := open(t, ctx, conn, "Both")
	if got, err := receiveMessage(stream); err != nil || got != "begun" {
		t.Fatalf("got %q, %v", got, err)
	}
	cancel()
	if err := trellistest.Receive(t, ended, "the target is told"); err != context.Canceled {
		t.Errorf("the target saw %v", err)
	}
	// The streams are recorded each by itself, in any order.
	records := w.accessLog(2)
	if !slices.ContainsFunc(records, func(r accesslog.Record) bool { return r.Failure == accesslog.ClientConnectionClosed }) {
		t.Errorf("records %+v", records)
	}
}

func TestTargetThatBreaksBreaksTheGRPCCall(t *testing.T) {
	for _, test := range []struct {
		name  string
		begun bool
	}{{"before the response", false}, {"after the response's head", true}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			service := &grpcService{}
			listening := service
			var stop func()
			service.stream = func(stream grpc.ServerStream) error {
				receiveMessage(stream)
				if test.begun {
					sendMessage(stream, "begun")
					receiveMessage(stream)
				}
				go stop()
				<-stream.Context().Done()
				return nil
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := grpc.NewServer()
			server.RegisterService(&grpc.ServiceDesc{ServiceName: "test.Echo", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
				StreamName: "Both", ClientStreams: true, ServerStreams: true,
				Handler: func(_ any, stream grpc.ServerStream) error { return listening.stream(stream) }}}}, service)
			stop = server.Stop
			go server.Serve(listener)
			t.Cleanup(server.Stop)
			w.http2Storefront(shape.TargetGroupProtocolVersionGrpc, listener.Addr().String())
			stream := open(t, grpcContext(t), w.grpcClient(), "Both")
			sendMessage(stream, "one")
			if test.begun {
				if got, err := receiveMessage(stream); err != nil || got != "begun" {
					t.Fatalf("got %q, %v", got, err)
				}
				sendMessage(stream, "two")
			}
			if _, err := receiveMessage(stream); err == nil || err == io.EOF || status.Code(err) == codes.OK {
				t.Errorf("the call ended with %v", err)
			}
			if record := w.accessLog(1)[0]; record.Failure == "" {
				t.Errorf("record %+v", record)
			}
		})
	}
}

func TestLargeGRPCMessagesPassBothWays(t *testing.T) {
	_, conn := newGRPCWorld(t, &grpcService{unary: func(_ context.Context, in []byte) ([]byte, error) { return in, nil }})
	message := bytes.Repeat([]byte("0123456789abcdef"), 6<<20/16)
	out := new(wrapperspb.BytesValue)
	if err := conn.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes(message), out); err != nil || !bytes.Equal(out.Value, message) {
		t.Errorf("%d bytes came back, %v", len(out.Value), err)
	}
}

func TestSlowGRPCReaderHoldsTheTargetBackAndNobodyElse(t *testing.T) {
	var sent atomic.Int64
	w, conn := newGRPCWorld(t, &grpcService{
		unary: func(_ context.Context, in []byte) ([]byte, error) { return in, nil },
		stream: func(stream grpc.ServerStream) error {
			text := strings.Repeat("x", 16<<10)
			for {
				if err := sendMessage(stream, text); err != nil {
					return err
				}
				sent.Add(int64(len(text)))
			}
		},
	})
	ctx, cancel := context.WithCancel(grpcContext(t))
	defer cancel()
	// Windows of a fixed size on the client's side: no message is read until the end.
	slow := w.grpcClient(grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	for range 5 {
		open(t, ctx, slow, "Server").CloseSend()
	}
	trellistest.AwaitStill(t, sent.Load)
	if got := sent.Load(); got == 0 || got > 5*(512<<10) {
		t.Errorf("the target could send %d bytes that nobody has read", got)
	}
	out := new(wrapperspb.BytesValue)
	if err := conn.Invoke(grpcContext(t), "/test.Echo/Unary", wrapperspb.Bytes([]byte("hello")), out); err != nil {
		t.Errorf("another client's call: %v", err)
	}
}

func TestTargetGroupGetsOnlyWhatItsVersionCarries(t *testing.T) {
	w := newWorld(t)
	address := http2Backend(t, nil)
	for _, test := range []struct {
		version     shape.TargetGroupProtocolVersion
		method      string
		contentType string
		want        int
	}{
		{shape.TargetGroupProtocolVersionGrpc, "GET", "", 502},
		{shape.TargetGroupProtocolVersionGrpc, "POST", "application/grpc", 404},
		{shape.TargetGroupProtocolVersionHttp2, "GET", "", 404},
		{shape.TargetGroupProtocolVersionHttp2, "POST", "application/grpc+proto", 404},
		{shape.TargetGroupProtocolVersionHttp1, "POST", "application/grpc", 200}, // With a status of gRPC.
		{shape.TargetGroupProtocolVersionHttp1, "POST", "application/grpc-web", 404},
	} {
		w.targetGroup("tg-1", shape.TargetGroupProtocolHttp)
		w.setVersion("tg-1", test.version)
		w.put(w.targets("tg-1", address))
		w.service("svc-1", 80, forwardTo("tg-1"), "tg-1")
		client := w.http2Client()
		request, _ := newRequest(test.method, test.contentType)
		if got := do(t, client, request); got.StatusCode != test.want {
			t.Errorf("%s of %q to %s: %d, want %d", test.method, test.contentType, test.version, got.StatusCode, test.want)
		}
		if test.version != shape.TargetGroupProtocolVersionHttp1 {
			if got := w.dial().get("/"); got.StatusCode != 502 {
				t.Errorf("HTTP/1.1 to %s: %d", test.version, got.StatusCode)
			}
		}
		client.CloseIdleConnections()
	}
}
