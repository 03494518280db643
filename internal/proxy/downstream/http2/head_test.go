package http2

import "testing"

func TestGRPCMessagesArePercentEncoded(t *testing.T) {
	if got := string(appendPercent(nil, "100% of\r\nü")); got != "100%25 of%0D%0A%C3%BC" {
		t.Errorf("got %q", got)
	}
}
