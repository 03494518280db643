package exchange

import "testing"

func TestGRPCClientIsNotToldToRetryALoop(t *testing.T) {
	if code := Loop.GRPC(); code != grpcInternal {
		t.Errorf("the status of gRPC is %d, want INTERNAL", code)
	}
}
