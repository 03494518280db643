package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// take passes a body through in pieces of the size and returns what is kept, with the trailers.
func take(body string, size int, framing bool) (kept string, taken int, err error) {
	var c Chunked
	var out []byte
	for taken < len(body) && !c.Done() {
		piece := []byte(body[taken:min(taken+size, len(body))])
		k, n, err := c.Take(piece, framing)
		out = append(out, piece[:k]...)
		taken += n
		if err != nil {
			return string(out), taken, err
		}
	}
	if !c.Done() {
		return string(out), taken, UnexpectedEnd
	}
	if framing && c.HasTrailers() {
		out = c.AppendTrailers(out)
	}
	return string(out), taken, nil
}

var goodChunks = []struct{ name, body, data, framed string }{
	{"empty", "0\r\n\r\n", "", "0\r\n\r\n"},
	{"two chunks", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "abc0123456789", "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"},
	{"leading zeros", "003\r\nabc\r\n000\r\n\r\n", "abc", "003\r\nabc\r\n000\r\n\r\n"},
	{"extensions", "3;a=b\r\nabc\r\n2;q=\"x; y\";z\r\nde\r\n0;last\r\n\r\n", "abcde", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"},
	{"trailers", "1\r\na\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n", "a", "1\r\na\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"},
	{"trailers that are not allowed", "0\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nHost: x\r\nX-Sum: 1\r\nx-amzn-lattice-identity: me\r\nConnection: x-sum\r\n\r\n", "", "0\r\nX-Sum: 1\r\n\r\n"},
	{"data that looks like framing", "7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n", "0\r\n\r\n0\r", "7\r\n0\r\n\r\n0\r\r\n0\r\n\r\n"},
}

func TestChunkedBodiesPassHoweverTheyArrive(t *testing.T) {
	for _, test := range goodChunks {
		for size := 1; size <= len(test.body); size++ {
			for _, framing := range []bool{true, false} {
				want := test.data
				if framing {
					want = test.framed
				}
				got, taken, err := take(test.body+"", size, framing)
				if got != want || taken != len(test.body) || err != nil {
					t.Fatalf("%s in pieces of %d: got %q, %d, %v; want %q", test.name, size, got, taken, err, want)
				}
			}
		}
		got, taken, err := take(test.body+"GET / HTTP/1.1", 1000, true)
		if got != test.framed || taken != len(test.body) || err != nil {
			t.Errorf("%s before another message: got %q, %d, %v", test.name, got, taken, err)
		}
	}
}

var badChunks = []struct {
	name, body string
	want       Violation
}{
	{"no size", "\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"negative size", "-3\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"size with 0x", "0x3\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"size with a sign", "+3\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"size with an underscore", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n", BadChunk},
	{"space before the size", " 3\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"space after the size", "3 \r\nabc\r\n0\r\n\r\n", BadChunk},
	{"size that overflows", "ffffffffffffffff\r\nabc", BadChunk},
	{"size that wraps around", "10000000000000003\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"bare line feed after the size", "3\nabc\r\n0\r\n\r\n", BadChunk},
	{"bare carriage return after the size", "3\rabc\r\n0\r\n\r\n", BadChunk},
	{"bare line feed in an extension", "3;a\nabc\r\n0\r\n\r\n", BadChunk},
	{"carriage return in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"NUL in an extension", "3;a\x00\r\nabc\r\n0\r\n\r\n", BadChunk},
	{"data longer than its size", "3\r\nabcd\r\n0\r\n\r\n", BadChunk},
	{"bare line feed after the data", "3\r\nabc\n0\r\n\r\n", BadChunk},
	{"bare line feed at the end", "0\r\n\n", BadLineEnd},
	{"bare line feeds after a trailer", "0\r\nX: y\n\n", BadLineEnd},
	{"no end", "3\r\nabc\r\n", UnexpectedEnd},
	{"no empty line", "0\r\n", UnexpectedEnd},
	{"carriage return without line feed at the end", "0\r\n\rX: y\r\n\r\n", BadChunk},
	{"malformed trailer", "0\r\nX : y\r\n\r\n", BadFieldName},
	{"folded trailer", "0\r\nX: y\r\n z\r\n\r\n", BadFieldName},
	{"bare line feed in a trailer", "0\r\nX: y\nZ: a\r\n\r\n", BadLineEnd},
	{"extensions without end", "3;" + strings.Repeat("a", maxExtensionsBytes+1), ChunkExtensionsTooLong},
	{"many extensions", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 17) + "0\r\n\r\n", ChunkExtensionsTooLong},
	{"trailers without end", "0\r\n" + strings.Repeat("X: y\r\n", 10000), TrailersTooLong},
	{"many trailers", "0\r\n" + strings.Repeat("X: y\r\n", maxTrailerFields+1) + "\r\n", TooManyFields},
}

func TestMalformedChunksAreRefused(t *testing.T) {
	for _, test := range badChunks {
		for _, size := range []int{1, 3, 1 << 20} {
			if _, _, err := take(test.body, size, true); err != test.want {
				t.Errorf("%s in pieces of %d: got %v, want %v", test.name, size, err, test.want)
			}
		}
	}
}

// What passes must be what net/http reads, with extensions dropped.
func FuzzChunkedIsNeverLooserThanNetHTTP(f *testing.F) {
	for _, test := range goodChunks {
		f.Add([]byte(test.body), uint8(3))
	}
	for _, test := range badChunks {
		f.Add([]byte(test.body), uint8(5))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		framed, taken, err := take(string(data), int(size)+1, true)
		if err != nil {
			return
		}
		read := func(body string) (string, error) {
			text := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
			response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(text)), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			return string(got), err
		}
		theirs, err := read(string(data[:taken]))
		if err != nil {
			t.Fatalf("accepted %q, which net/http refuses: %v", data[:taken], err)
		}
		ours, err := read(framed)
		if err != nil || ours != theirs {
			t.Fatalf("passed %q on as %q, in which net/http reads %q (%v) instead of %q", data[:taken], framed, ours, err, theirs)
		}
		plain, _, err := take(string(data), 1<<20, false)
		if err != nil || plain != theirs {
			t.Fatalf("without framing: got %q, %v; theirs %q", plain, err, theirs)
		}
		if bytes.ContainsRune([]byte(framed), ';') && !strings.Contains(theirs, ";") && !strings.Contains(framed, "0\r\n") {
			t.Fatalf("an extension was passed on in %q", framed)
		}
	})
}

func TestBodyByLengthEndsWhereItShould(t *testing.T) {
	var b Body
	b.start(ByLength, 5)
	if kept, taken, err := b.Take([]byte("abc"), true); fmt.Sprint(kept, taken, err, b.Done()) != "3 3 <nil> false" {
		t.Error(kept, taken, err, b.Done())
	}
	if b.End() != UnexpectedEnd {
		t.Error("a body that is cut short passed")
	}
	if kept, taken, err := b.Take([]byte("deGET"), true); fmt.Sprint(kept, taken, err, b.Done()) != "2 2 <nil> true" {
		t.Error(kept, taken, err, b.Done())
	}
	b.start(UntilClose, 0)
	if b.Done() || b.End() != nil || !b.Done() {
		t.Error("a body until the end of the connection must end with it")
	}
}
