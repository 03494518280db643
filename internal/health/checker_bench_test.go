package health

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"trellis/internal/outbound"
	"trellis/internal/routing"
)

// BenchmarkProbe measures one probe over the loopback, the answering server included.
func BenchmarkProbe(b *testing.B) {
	for _, https := range []bool{false, true} {
		b.Run(fmt.Sprintf("https=%v", https), func(b *testing.B) {
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			if https {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			prober, probe := newHTTPProber(outbound.New(outbound.Config{})), Probe{Address: addressOf(server), HTTPS: https, Path: "/"}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := prober.Probe(b.Context(), probe); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApply puts 100,000 targets in 1,000 groups on the board and takes them off again.
func BenchmarkApply(b *testing.B) {
	var in, out []routing.Use
	for i := range 1000 {
		g := groupWith(fmt.Sprintf("tg-%d", i), withInterval(300))
		targets := targetsOf(g.ID, 100)
		in = append(in, inUse(g, targets...)...)
		out = append(out, notInUse(g, targets...)...)
	}
	c := NewChecker(Config{Prober: newScript(), Log: slog.New(slog.DiscardHandler)})
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		c.Apply(in)
		c.Apply(out)
	}
}

func BenchmarkAvailable(b *testing.B) {
	c := NewChecker(Config{Prober: newScript(), Log: slog.New(slog.DiscardHandler)})
	defer c.Close()
	g, targets := groupWith("tg-1"), targetsOf("tg-1", 100)
	c.Apply(inUse(g, targets...))
	key := targets[50].Key()
	b.ReportAllocs()
	for b.Loop() {
		c.Available(key)
	}
}
