package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// sendTo sends a request with headers to a port of a node, and returns the status and the text of the response.
func sendTo(t *testing.T, method, url, host string, headers ...string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(`{"name":"web"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("x-amzn-ErrorType") + " " + string(body)
}

func TestHostsThatOthersCanPointAtUsAreRefused(t *testing.T) {
	dev := start(t, "dev", "--allowed-hosts", "Trellis.example,.internal,my_service")
	serve := start(t, "serve", "--data-dir", t.TempDir())
	adminOf := func(r *running) string { return "http://" + r.server.adminListener.Addr().String() + "/healthz" }
	for _, tc := range []struct {
		host     string
		admitted bool
	}{
		{"", true}, // The client's own: an address.
		{"127.0.0.1", true},
		{"192.0.2.7:7600", true},
		{"[::1]:7600", true},
		{"[2001:db8::1]", true},
		{"localhost:7600", true},
		{"LOCALHOST.", true},
		{"api.localhost:7600", true},
		{"trellis.example:7600", true},
		{"TRELLIS.EXAMPLE", true},
		{"host.docker.internal:7600", true},
		{"my_service:7600", true},
		{"internal", false},
		{"rebound.example", false},
		{"rebound.example:7600", false},
		{"a.trellis.example", false},
		{"trellis.example.evil.example", false},
		{"localhost.evil.example", false},
		{"notlocalhost", false},
		{"127.0.0.1.evil.example", false},
		{"0x7f.1", false},
	} {
		want, wantAPI := http.StatusOK, http.StatusCreated
		if !tc.admitted {
			want, wantAPI = http.StatusForbidden, http.StatusForbidden
		}
		status, text := sendTo(t, "POST", dev.url+"/services", tc.host, "X-Unique", tc.host)
		// The name of a service is accepted the second time.
		if status != wantAPI && (!tc.admitted || status != http.StatusConflict) {
			t.Errorf("dev's API as %q: %d %s", tc.host, status, text)
		}
		if !tc.admitted && (!strings.Contains(text, "AccessDeniedException") || !strings.Contains(text, "--allowed-hosts")) {
			t.Errorf("dev's API as %q says %s", tc.host, text)
		}
		if status, text := sendTo(t, "GET", adminOf(dev), tc.host); status != want || !tc.admitted && !strings.Contains(text, "--allowed-hosts") {
			t.Errorf("dev's admin port as %q: %d %s", tc.host, status, text)
		}
	}
	for host, want := range map[string]int{"127.0.0.1": http.StatusOK, "rebound.example": http.StatusForbidden, "trellis.example": http.StatusForbidden} {
		if status, text := sendTo(t, "GET", adminOf(serve), host); status != want {
			t.Errorf("serve's admin port as %q: %d %s", host, status, text)
		}
		// Signatures protect this one; the host is a part of what is signed.
		if _, text := sendTo(t, "POST", serve.url+"/services", host); !strings.Contains(text, "MissingAuthenticationToken") {
			t.Errorf("serve's API as %q: %s", host, text)
		}
	}
}

func TestWebPagesOfOtherOriginsAreRefused(t *testing.T) {
	dev := start(t, "dev")
	serve := start(t, "serve", "--data-dir", t.TempDir())
	own := func(url string) string { return strings.TrimSuffix(url, "/") }
	for _, tc := range []struct {
		name     string
		headers  []string
		admitted bool
	}{
		{"no browser", nil, true},
		{"the user, by hand", []string{"Sec-Fetch-Site", "none"}, true},
		{"a page of ours", []string{"Sec-Fetch-Site", "same-origin", "Origin", own(dev.url)}, true},
		{"a page of another site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "http://evil.example"}, false},
		{"a page on another port", []string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:3000"}, false},
		{"a page of another site, in an old browser", []string{"Origin", "http://evil.example"}, false},
		{"a page in a sandbox", []string{"Origin", "null"}, false},
		{"a picture", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, false},
		{"a frame", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, false},
	} {
		for url, method := range map[string]string{
			dev.url + "/services": "GET", dev.url + "/servicenetworks": "POST",
			"http://" + dev.server.adminListener.Addr().String() + "/debug/pprof/cmdline": "GET",
		} {
			if tc.name == "a page of ours" && !strings.HasPrefix(url, dev.url) {
				continue
			}
			status, text := sendTo(t, method, url, "", append([]string{"Content-Type", "text/plain"}, tc.headers...)...)
			if refused := status == http.StatusForbidden; refused == tc.admitted || refused && !strings.Contains(text, "web page") {
				t.Errorf("%s: %s %s is answered %d %s", tc.name, method, url, status, text)
			}
		}
		if tc.name == "a page of ours" {
			continue
		}
		status, _ := sendTo(t, "GET", "http://"+serve.server.adminListener.Addr().String()+"/healthz", "", tc.headers...)
		if refused := status == http.StatusForbidden; refused == tc.admitted {
			t.Errorf("%s: the admin port of serve answers %d", tc.name, status)
		}
	}
	link := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	if status, _ := sendTo(t, "GET", dev.url+"/services", "", link...); status != http.StatusOK {
		t.Errorf("a link that the user follows is answered %d", status)
	}
	if status, _ := sendTo(t, "POST", dev.url+"/servicenetworks", "", link...); status != http.StatusForbidden {
		t.Errorf("a form that a page sends is answered %d", status)
	}
}
