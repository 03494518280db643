package proxy

import "testing"

func TestRequestReachesTheTargetAndTheResponseTheClient(t *testing.T) {
	w := newWorld(t)
	address, requests := recording(t)
	w.storefront(address)
	c := w.dial()
	for range 3 {
		got := c.get("/path?query=1")
		if got.StatusCode != 200 || got.body != "ok" {
			t.Fatalf("got %d %q", got.StatusCode, got.body)
		}
		request := next(t, requests)
		if request.RequestURI != "/path?query=1" || request.Host != host {
			t.Fatalf("the target got %q for %q", request.RequestURI, request.Host)
		}
	}
}
