package stories_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// grpcShape is the shape of a method that is named after it. The method sends back what it gets: in one message, or, if
// the server streams, message by message; a single message it then sends several times.
type grpcShape struct {
	name        string
	there, back bool // client and server stream
}

var grpcShapes = [...]grpcShape{{"Unary", false, false}, {"Client", true, false}, {"Server", false, true}, {"Both", true, true}}

// grpcMessages is how many messages a stream has.
const grpcMessages = 8

// startGRPCBackend starts a backend that is a gRPC server.
func startGRPCBackend(t *testing.T) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := new(backend).listensOn(listener.Addr())
	server := grpc.NewServer()
	service := grpc.ServiceDesc{ServiceName: "soak.Echo", HandlerType: (*any)(nil)}
	for _, shape := range grpcShapes {
		service.Streams = append(service.Streams, grpc.StreamDesc{
			StreamName: shape.name, ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return b.serveGRPC(shape, stream) },
		})
	}
	server.RegisterService(&service, b)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // Until it is stopped.
	}()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	return b
}

func (b *backend) serveGRPC(shape grpcShape, stream grpc.ServerStream) error {
	b.count()
	var all []byte
	for {
		message := new(wrapperspb.BytesValue)
		err := stream.RecvMsg(message)
		switch {
		case err == io.EOF && shape.back:
			return nil
		case err == io.EOF:
			return stream.SendMsg(wrapperspb.Bytes(all))
		case err != nil:
			return err
		}
		all = append(all, message.Value...)
		copies := 0
		if shape.back {
			copies = 1
		}
		if shape.back && !shape.there {
			copies = grpcMessages
		}
		for range copies {
			if err := stream.SendMsg(message); err != nil {
				return err
			}
		}
	}
}

// grpcClient makes gRPC calls.
type grpcClient struct{ conn *grpc.ClientConn }

func newGRPCClient(t *testing.T, address, host string) *grpcClient {
	t.Helper()
	security := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, ServerName: host})
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(security), grpc.WithAuthority(host))
	if err != nil {
		t.Fatal(err)
	}
	return &grpcClient{conn}
}

func (c *grpcClient) close() { c.conn.Close() }

// callAll makes a call of each shape, one after the other.
func (c *grpcClient) callAll() error {
	for _, shape := range grpcShapes {
		if err := c.call(shape); err != nil {
			return fmt.Errorf("%s: %w", shape.name, err)
		}
	}
	return nil
}

func (c *grpcClient) call(shape grpcShape) error {
	ctx, cancel := context.WithTimeout(context.Background(), exchangeLimit)
	defer cancel()
	stream, err := c.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/soak.Echo/"+shape.name)
	if err != nil {
		return err
	}
	messages := make([][]byte, 1)
	if shape.there {
		messages = make([][]byte, grpcMessages)
	}
	for i := range messages {
		messages[i] = randomBytes(1 + rand.IntN(20_000))
		if err := stream.SendMsg(wrapperspb.Bytes(messages[i])); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		if shape.there && shape.back {
			if err := receiveMessage(stream, messages[i]); err != nil {
				return err
			}
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	switch {
	case !shape.back:
		err = receiveMessage(stream, bytes.Join(messages, nil))
	case !shape.there:
		for i := 0; i < grpcMessages && err == nil; i++ {
			err = receiveMessage(stream, messages[0])
		}
	}
	if err != nil {
		return err
	}
	if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != io.EOF {
		return fmt.Errorf("the end: %w", err)
	}
	return nil
}

func receiveMessage(stream grpc.ClientStream, want []byte) error {
	got := new(wrapperspb.BytesValue)
	if err := stream.RecvMsg(got); err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if !bytes.Equal(got.Value, want) {
		return errors.New("a message comes back changed")
	}
	return nil
}
