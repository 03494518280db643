package delivery

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/routing"
)

// entries returns lines of exchanges as they come to a service: what differs is what differs in traffic.
func entries(n int) (lines []byte) {
	random := rand.New(rand.NewPCG(1, 2))
	service := &routing.Service{Name: "orders", ARN: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0",
		NetworkARN: "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0"}
	at := time.Date(2026, 5, 1, 10, 7, 0, 0, time.UTC)
	for i := range n {
		at = at.Add(time.Duration(random.IntN(50)) * time.Millisecond)
		r := accesslog.Record{
			Service: service, Start: at, Duration: time.Duration(random.IntN(90)) * time.Millisecond, Status: 200,
			Source: netip.AddrPortFrom(netip.MustParseAddr("10.0.1.17"), uint16(random.IntN(1<<16))),
			Method: []byte("GET"), Path: fmt.Appendf(nil, "/orders/%d", random.IntN(10000)), Protocol: "HTTP/1.1", UserAgent: []byte("curl/8.5.0"),
			Host: []byte("orders.example.com"), RequestID: fmt.Appendf(nil, "%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), i&0xffff, 1, 2, random.Uint64N(1<<48)),
			Sent: int64(random.IntN(2000)),
		}
		if i%20 == 0 {
			r.Status, r.Failure = 502, "TargetConnectionError"
		}
		lines = append(accesslog.AppendEntry(lines, &r), '\n')
	}
	return lines
}

// read reads a complete stream as others read it.
func read(t *testing.T, stream []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestEntriesComeOutOfAStreamAsTheyWentIn(t *testing.T) {
	lines := entries(1000)
	stream := Compress(lines)
	if !bytes.Equal(read(t, stream), lines) {
		t.Error("other lines come out")
	}
	if len(stream) > len(lines)/8 {
		t.Errorf("%d bytes are compressed to %d only", len(lines), len(stream))
	}
}

func TestStreamCanBeReadAsFarAsItWasFlushed(t *testing.T) {
	lines := entries(20)
	var c compressor
	var flushed []int // where the stream can end
	for line := range bytes.Lines(lines) {
		c.line(bytes.TrimSuffix(line, []byte(lineEnd)))
		c.flush()
		flushed = append(flushed, len(c.out))
	}
	for end := range len(c.out) {
		got, err := decompress(c.out[:end])
		whole, want := 0, 0
		for whole < len(flushed) && flushed[whole] <= end {
			whole++
		}
		for range whole {
			want += bytes.IndexByte(lines[want:], '\n') + 1
		}
		if !bytes.HasPrefix(lines, got) || len(got) < want {
			t.Fatalf("of %d bytes with %d lines come\n%s\n(%v)", end, whole, got, err)
		}
		if clean := whole > 0 && flushed[whole-1] == end; clean != (err == nil) {
			t.Errorf("of %d bytes, %d of them flushed, the error is %v", end, flushed[max(whole, 1)-1], err)
		}
	}
}

// FuzzCompress has other programs read what any lines are compressed to.
func FuzzCompress(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":"x"}`), []byte(`{"a":22,"c":"y"}`), 3, uint8(2))
	f.Add([]byte(`,"`), []byte(`,"`), 1, uint8(0))
	f.Add(bytes.Repeat([]byte(`{"a":"`), 6000), []byte("\xff\x90\x8f"), 2, uint8(1))
	f.Fuzz(func(t *testing.T, one, other []byte, times int, flushes uint8) {
		one, other = bytes.ReplaceAll(one, []byte("\n"), nil), bytes.ReplaceAll(other, []byte("\n"), nil)
		var c compressor
		var lines []byte
		for i := range min(max(times, 1), 20) {
			from := len(lines)
			lines = append(append(lines, one...), other[:min(i, len(other))]...)
			c.line(lines[from:])
			lines = append(lines, '\n')
			if flushes > 0 && i%int(flushes) == 0 {
				c.flush()
			}
			from = len(lines)
			lines = append(lines, other...)
			c.line(lines[from:])
			lines = append(lines, '\n')
		}
		c.flush()
		if got, err := decompress(c.out); err != nil || !bytes.Equal(got, lines) {
			t.Fatalf("without its end, %d bytes come out of %d (%v)", len(got), len(lines), err)
		}
		if got := read(t, append(c.out, c.sum.end()...)); !bytes.Equal(got, lines) {
			t.Fatalf("%d bytes come out of %d", len(got), len(lines))
		}
	})
}

func TestLongLinesAreCompressed(t *testing.T) {
	for _, length := range []int{1, 258, 16 << 10, 32<<10 - 1, 32 << 10, 32<<10 + 1, 100_000} {
		line := `{"path":"` + strings.Repeat("x", length) + `"}` + "\n"
		lines := []byte(line + line + `{"path":"` + strings.Repeat("y", length) + `"}` + "\n" + line)
		if !bytes.Equal(read(t, Compress(lines)), lines) {
			t.Errorf("lines of %d bytes come out otherwise", length)
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	lines := entries(1000)
	var c compressor
	b.SetBytes(int64(len(lines)))
	for b.Loop() {
		c.rewind(checksum{})
		for line := range bytes.Lines(lines) {
			c.line(bytes.TrimSuffix(line, []byte(lineEnd)))
		}
		c.flush()
	}
	b.ReportMetric(float64(len(c.out))/float64(len(lines)), "of-the-size")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
}
