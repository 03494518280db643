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

// exchanges returns entries of the exchanges of one service, which differ in what differs in real traffic.
func exchanges(n int) (list []accesslog.Entry) {
	random := rand.New(rand.NewPCG(1, 2))
	service := &routing.Service{Name: "orders", ARN: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0",
		NetworkARN: "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0"}
	at := time.Date(2026, 5, 1, 10, 7, 0, 0, time.UTC)
	var room accesslog.Room
	list = make([]accesslog.Entry, n)
	for i := range n {
		at = at.Add(time.Duration(random.IntN(50)) * time.Millisecond)
		r := accesslog.Record{
			Service: service, Start: at, Duration: time.Duration(random.IntN(90)) * time.Millisecond, Status: 200,
			Connection: &accesslog.Connection{Source: netip.AddrPortFrom(netip.MustParseAddr("10.0.1.17"), uint16(random.IntN(1<<16)))},
			Method:     []byte("GET"), Path: fmt.Appendf(nil, "/orders/%d", random.IntN(10000)), Protocol: "HTTP/1.1", UserAgent: []byte("curl/8.5.0"),
			Host: []byte("orders.example.com"), RequestID: fmt.Appendf(nil, "%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), i&0xffff, 1, 2, random.Uint64N(1<<48)),
			Sent: int64(random.IntN(2000)),
		}
		if i%20 == 0 {
			r.Status, r.Failure = 502, "TargetConnectionError"
		}
		list[i].Take(&r, &room)
	}
	return list
}

// entries returns the lines of exchanges.
func entries(n int) (lines []byte) {
	for _, e := range exchanges(n) {
		lines = append(e.Append(lines), '\n')
	}
	return lines
}

// read decompresses a complete stream as other programs do.
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

func TestStreamKeepsEntriesUnchanged(t *testing.T) {
	lines := entries(1000)
	stream := Compress(lines)
	if !bytes.Equal(read(t, stream), lines) {
		t.Error("the decompressed lines are not those that went in")
	}
	if len(stream) > len(lines)/8 {
		t.Errorf("%d bytes are compressed to %d, want an eighth at most", len(lines), len(stream))
	}
}

func TestEntriesAreCompressedAsTheirLinesAre(t *testing.T) {
	var c compressor
	for _, e := range exchanges(1000) {
		c.entry(&e)
	}
	c.flush()
	lines := entries(1000)
	if !bytes.Equal(read(t, append(c.out, c.sum.end()...)), lines) {
		t.Error("the decompressed lines are not those that went in")
	}
	if stream := Compress(lines); len(c.out) > len(stream) {
		t.Errorf("the entries take %d bytes, and their lines %d; want no more than the lines", len(c.out), len(stream))
	}
}

// FuzzEntries decompresses entries as other programs do. Each byte of changes changes something in the next entry.
func FuzzEntries(f *testing.F) {
	f.Add([]byte("aaaabcdefghijklmnopqrstuvwxyz"), "/orders/1", []byte("\xff\n\"x"))
	f.Add([]byte{0, 0, 1, 0, 5, 0, 23, 9, 0, 19, 0}, strings.Repeat("/long", 7000), []byte(nil))
	f.Fuzz(func(t *testing.T, changes []byte, path string, other []byte) {
		if len(changes) > 1000 {
			return
		}
		service := &routing.Service{Name: "orders", ARN: "arn:service/svc-1", NetworkARN: "arn:servicenetwork/sn-1"}
		r := accesslog.Record{Service: service, Method: []byte("GET"), Path: []byte("/"), RequestID: []byte("1"), Status: 200}
		var (
			c    compressor
			want []byte
		)
		for _, change := range changes {
			n := int(change / 24)
			switch change % 24 {
			case 0:
				r.RequestID = fmt.Append(nil, n, len(want))
			case 1:
				r.Path = []byte(path)[:min(n*len(path)/8, len(path))]
			case 2:
				r.Method = other
			case 3:
				r.Host = []byte(path)
			case 4:
				r.UserAgent = other[:min(n, len(other))]
			case 5:
				r.Connection = &accesslog.Connection{Source: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), uint16(n))}
			case 6:
				r.Target = &routing.Place{Address: netip.AddrPortFrom(netip.IPv6LinkLocalAllNodes(), uint16(n))}
			case 7:
				r.Service = nil
			case 8:
				r.Service = service
			case 9:
				r.SourceVpc = &routing.Source{VpcID: path, VpcARN: "arn:vpc"}
			case 10:
				r.Forward = &routing.Forward{TargetGroup: &routing.TargetGroup{ARN: path, VpcID: "vpc-1"}}
			case 11:
				r.Forward, r.SourceVpc = nil, nil
			case 12:
				r.Failure = accesslog.Failures[n]
			case 13:
				r.Protocol = path
			case 14:
				r.Status = n * 100
			case 15:
				r.HasGRPCStatus, r.GRPCStatus = n > 1, n
			case 16:
				r.Received, r.Sent = int64(n)<<40, int64(len(want))
			case 17:
				r.Duration, r.ToTarget, r.FromTarget = time.Duration(n)*time.Hour, time.Duration(len(want)), time.Duration(n)*time.Millisecond
			case 18:
				r.Connection = &accesslog.Connection{TLS: &accesslog.TLS{ServerName: path, Version: "TLSv1.3", Cipher: string(other)}}
			case 19:
				r.Caller = &accesslog.Caller{ResolvedUser: path, Principal: path, Denied: accesslog.DeniedByIdentity}
			case 20:
				r.Caller = &accesslog.Caller{PrincipalTags: map[string]string{path: string(other)}}
			case 21:
				r.Connection, r.Target, r.Caller = nil, nil, nil
			case 22:
				c.line([]byte(`{"lostEntries":1}`))
				want = append(want, "{\"lostEntries\":1}\n"...)
			case 23:
				c.flush()
			}
			var (
				e    accesslog.Entry
				room accesslog.Room
			)
			e.Take(&r, &room)
			c.entry(&e)
			want = append(e.Append(want), '\n')
			if n%2 == 0 {
				c.keep()
				room.Reset()
				clear(room.Text[:cap(room.Text)]) // Nothing may refer to it any more.
				e = accesslog.Entry{}
			}
		}
		c.flush()
		if len(changes) > 0 && !bytes.Equal(read(t, append(c.out, c.sum.end()...)), want) {
			t.Fatal("the decompressed lines are not those that went in")
		}
	})
}

func TestStreamCanBeReadAsFarAsItWasFlushed(t *testing.T) {
	lines := entries(20)
	var c compressor
	var flushed []int // where the stream can end
	for line := range bytes.Lines(lines) {
		c.line(bytes.TrimSuffix(line, []byte(accesslog.LineEnd)))
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

// FuzzCompress decompresses any lines as other programs do.
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
			t.Errorf("the decompressed lines of %d bytes are not those that went in", length)
		}
	}
}

func BenchmarkEntries(b *testing.B) {
	list := exchanges(1000)
	var c compressor
	for b.Loop() {
		c.rewind(checksum{})
		for i := range list {
			c.entry(&list[i])
		}
		c.flush()
	}
	b.ReportMetric(float64(len(c.out))/float64(c.sum.size), "of-the-size")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
}

func BenchmarkLines(b *testing.B) {
	lines := entries(1000)
	var c compressor
	b.SetBytes(int64(len(lines)))
	for b.Loop() {
		c.rewind(checksum{})
		for line := range bytes.Lines(lines) {
			c.line(bytes.TrimSuffix(line, []byte(accesslog.LineEnd)))
		}
		c.flush()
	}
	b.ReportMetric(float64(len(c.out))/float64(len(lines)), "of-the-size")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/entry")
}
