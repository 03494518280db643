package tail

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trellis/test/trellistest"
)

func TestEachKindOfExchangeHasALine(t *testing.T) {
	for _, c := range []struct{ entry, plain, colored string }{
		{
			`{"time":"2026-01-02T15:04:05.027Z","requestMethod":"GET","requestPath":"/reports","query":"?year=2026","protocol":"HTTP/1.1","responseCode":200,"microseconds":1312,"service":"files","targetGroup":"files-v1","targetIpPort":"127.0.0.1:8000","failureReason":"-"}`,
			"TIME 200    1.3ms  GET /reports?year=2026  files -> files-v1 127.0.0.1:8000",
			"DIM(TIME) GREEN(200)    1.3ms  GET /reports?year=2026  files -> files-v1 127.0.0.1:8000",
		},
		{
			`{"time":"2026-01-02T15:04:05.027Z","requestMethod":"GET","requestPath":"/","query":"-","protocol":"HTTP/2","responseCode":403,"microseconds":600,"service":"files","targetIpPort":"-","failureReason":"ClientAccessDenied"}`,
			"TIME 403    600µs  GET /  files  ClientAccessDenied",
			"DIM(TIME) YELLOW(403)    600µs  GET /  files  RED(ClientAccessDenied)",
		},
		{
			`{"time":"2026-01-02T15:04:05.027Z","requestMethod":"GET","requestPath":"/","query":"-","protocol":"HTTP/1.1","responseCode":502,"microseconds":2345678,"service":"orders","targetGroup":"code","function":"order","targetIpPort":"-","failureReason":"LambdaUnhandled","problem":"no \u001b[2Jluck"}`,
			"TIME 502    2.35s  GET /  orders -> code order  LambdaUnhandled: no ?[2Jluck",
			"DIM(TIME) RED(502)    2.35s  GET /  orders -> code order  RED(LambdaUnhandled: no ?[2Jluck)",
		},
		{
			`{"time":"2026-01-02T15:04:05.027Z","requestMethod":"GET","requestPath":"/","query":"-","protocol":"HTTP/1.1","hostHeader":"nobody.example","responseCode":404,"microseconds":50,"targetIpPort":"-","failureReason":"-"}`,
			"TIME 404     50µs  GET /  nobody.example",
			"DIM(TIME) YELLOW(404)     50µs  GET /  nobody.example",
		},
		{
			`{"time":"2026-01-02T15:04:05.027Z","protocol":"TLS","responseCode":"-","microseconds":7000,"bytesReceived":5,"bytesSent":9,"service":"sealed","targetGroup":"tls","targetIpPort":"127.0.0.1:8443","failureReason":"-"}`,
			"TIME TLS      7ms  5 bytes in, 9 out  sealed -> tls 127.0.0.1:8443",
			"DIM(TIME) TLS      7ms  5 bytes in, 9 out  sealed -> tls 127.0.0.1:8443",
		},
		{
			`{"time":"2026-01-02T15:04:05.027Z","protocol":"tcp","sourceIpPort":"127.0.0.1:5","resource":"db","resourceIpPort":"127.0.0.1:5432"}`,
			"TIME TCP       0s  from 127.0.0.1:5  db -> 127.0.0.1:5432",
			"DIM(TIME) TCP       0s  from 127.0.0.1:5  db -> 127.0.0.1:5432",
		},
		{
			`{"time":"2026-01-02T15:04:05.027Z","function":"order","requestId":"1","output":"one\ttwo"}`,
			"TIME order:  one two",
			"DIM(TIME) CYAN(order:)  one two",
		},
		{
			`{"missed":12}`,
			"... 12 exchanges came too fast to be shown",
			"YELLOW(... 12 exchanges came too fast to be shown)",
		},
	} {
		var e exchange
		if err := json.Unmarshal([]byte(c.entry), &e); err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 1, 2, 15, 4, 5, 27e6, time.UTC).Local().Format("15:04:05.000")
		for colored, want := range map[bool]string{false: c.plain, true: c.colored} {
			want = strings.ReplaceAll(want, "TIME", at)
			for name, code := range map[string]string{"DIM": dim, "GREEN": green, "YELLOW": yellow, "RED": red, "CYAN": cyan} {
				want = regexp.MustCompile(name+`\(([^)]*)\)`).ReplaceAllString(want, code+"$1"+plain)
			}
			p := printer{colored: colored}
			if got := p.line(&e); got != want {
				t.Errorf("the line is\n%q\nwant\n%q", got, want)
			}
		}
	}
}

// A node that is replaced ends the response; its successor answers a little later.
func TestCommandGoesOnWithTheNextProcess(t *testing.T) {
	var calls atomic.Int64
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := calls.Add(1); n {
		case 2:
			panic(http.ErrAbortHandler) // Nobody is there yet.
		default:
			fmt.Fprintf(w, "{\"call\":%d}\n", n)
			if n == 3 {
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
		}
	}))
	defer node.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var lines trellistest.Text
	ended := make(chan int)
	go func() { ended <- Command{Admin: node.URL, JSON: true}.Run(ctx, &lines, io.Discard) }()
	trellistest.Await(t, func() bool { return lines.String() == "{\"call\":1}\n{\"call\":3}\n" }, "the lines of both processes")
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}
