package clienthello

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// recorded returns what crypto/tls sends first as a client.
func recorded(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	conn := &oneWay{}
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = true
	_ = tls.Client(conn, cfg).Handshake() // Nobody answers.
	if conn.written.Len() == 0 {
		t.Fatal("the client sent nothing")
	}
	return conn.written.Bytes()
}

// oneWay is a connection whose reads return the given bytes, and that keeps what is written.
type oneWay struct {
	read    bytes.Reader
	written bytes.Buffer
}

func (c *oneWay) Read(p []byte) (int, error)       { return c.read.Read(p) }
func (c *oneWay) Write(p []byte) (int, error)      { return c.written.Write(p) }
func (c *oneWay) Close() error                     { return nil }
func (c *oneWay) LocalAddr() net.Addr              { return nil }
func (c *oneWay) RemoteAddr() net.Addr             { return nil }
func (c *oneWay) SetDeadline(time.Time) error      { return nil }
func (c *oneWay) SetReadDeadline(time.Time) error  { return nil }
func (c *oneWay) SetWriteDeadline(time.Time) error { return nil }

// refragment spreads the message of a ClientHello in one record over records of at most size bytes.
func refragment(hello []byte, size int) []byte {
	var out []byte
	for rest := hello[recordHeaderBytes:]; len(rest) > 0; {
		n := min(size, len(rest))
		out = append(out, hello[0], hello[1], hello[2], byte(n>>8), byte(n))
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
	return out
}

// hello returns a ClientHello with the extensions, each a type and its data.
func hello(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)                // session
	body = append(body, 0, 2, 0x13, 0x01) // suites
	body = append(body, 1, 0)             // compressions
	all := bytes.Join(extensions, nil)
	body = append(body, byte(len(all)>>8), byte(len(all)))
	body = append(body, all...)
	message := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

func extension(kind int, data []byte) []byte {
	return append([]byte{byte(kind >> 8), byte(kind), byte(len(data) >> 8), byte(len(data))}, data...)
}

func named(name string) []byte {
	entry := append([]byte{0, byte(len(name) >> 8), byte(len(name))}, name...)
	return extension(0, append([]byte{byte(len(entry) >> 8), byte(len(entry))}, entry...))
}

func TestNameOfRealClientsIsFound(t *testing.T) {
	for name, cfg := range map[string]*tls.Config{
		"TLS 1.3":          {ServerName: "svc-1.lattice.test"},
		"TLS 1.2":          {ServerName: "svc-1.lattice.test", MaxVersion: tls.VersionTLS12},
		"with ALPN":        {ServerName: "svc-1.lattice.test", NextProtos: []string{"h2", "http/1.1"}},
		"upper case":       {ServerName: "SVC-1.Lattice.test"},
		"dot at the end":   {ServerName: "svc-1.lattice.test."},
		"underscore":       {ServerName: "my_svc.lattice.test"},
		"no name":          {},
		"literal address":  {ServerName: "127.0.0.1"},
		"name of 63 bytes": {ServerName: strings.Repeat("a", 63)},
	} {
		t.Run(name, func(t *testing.T) {
			sent := recorded(t, cfg)
			got, n, err := Parse(append(bytes.Clone(sent), "more"...))
			want := cfg.ServerName
			if net.ParseIP(want) != nil { // Clients do not send these (RFC 6066 3).
				want = ""
			}
			want = strings.TrimSuffix(want, ".")
			if err != nil || n != len(sent) || string(got) != want {
				t.Fatalf("got %q of %d bytes, error %v; want %q of %d bytes", got, n, err, want, len(sent))
			}
		})
	}
}

func TestHelloInPiecesIsWaitedFor(t *testing.T) {
	whole := recorded(t, &tls.Config{ServerName: "svc-1.lattice.test"})
	for name, sent := range map[string][]byte{
		"one record":              whole,
		"records of one byte":     refragment(whole, 1),
		"records of three bytes":  refragment(whole, 3),
		"records of a few dozens": refragment(whole, 50),
	} {
		t.Run(name, func(t *testing.T) {
			for end := range sent {
				if _, n, err := Parse(sent[:end]); n != 0 || err != nil {
					t.Fatalf("after %d of %d bytes: length %d, error %v", end, len(sent), n, err)
				}
			}
			got, n, err := Parse(sent)
			if err != nil || n != len(sent) || string(got) != "svc-1.lattice.test" {
				t.Fatalf("got %q of %d bytes, error %v", got, n, err)
			}
		})
	}
}

func TestBytesStayAsTheyAre(t *testing.T) {
	sent := refragment(recorded(t, &tls.Config{ServerName: "svc-1.lattice.test"}), 7)
	before := bytes.Clone(sent)
	if _, _, err := Parse(sent); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent, before) {
		t.Fatal("parsing changed the bytes")
	}
}

func TestBytesThatAreNoHelloAreRefusedAsSoonAsThatShows(t *testing.T) {
	good := hello(named("a.test"))
	patch := func(at int, value byte) []byte {
		b := bytes.Clone(good)
		b[at] = value
		return b
	}
	many := make([][]byte, maxExtensions+1)
	for i := range many {
		many[i] = extension(1000+i, nil)
	}
	for name, c := range map[string]struct {
		sent []byte
		want Violation
	}{
		"HTTP":                       {[]byte("G"), NoHandshake},
		"an alert":                   {[]byte{21}, NoHandshake},
		"SSL 2":                      {[]byte{0x80}, NoHandshake},
		"version 2":                  {[]byte{22, 2}, BadVersion},
		"empty record":               {[]byte{22, 3, 1, 0, 0}, BadRecord},
		"long record":                {[]byte{22, 3, 1, 0x40, 1}, BadRecord},
		"ServerHello":                {[]byte{22, 3, 1, 0, 4, 2}, NoClientHello},
		"long message":               {[]byte{22, 3, 1, 0, 4, 1, 0, 0x40, 0}, TooLarge},
		"very long message":          {[]byte{22, 3, 1, 0, 4, 1, 1, 0, 0}, TooLarge},
		"other record in between":    {append(refragment(good, 10)[:15], 21), NoHandshake},
		"message behind":             {bytes.Join([][]byte{{22, 3, 1, 0, byte(len(good))}, good[5:], {1, 0, 0, 0, 0}}, nil), MessageAfterHello},
		"no room for the version":    {[]byte{22, 3, 1, 0, 5, 1, 0, 0, 1, 3}, Malformed},
		"long session":               {patch(43, 33), Malformed},
		"no suites":                  {patch(45, 0), Malformed},
		"odd suites":                 {patch(45, 3), Malformed},
		"no compressions":            {patch(48, 0), Malformed},
		"extensions too short":       {patch(51, good[51]-1), Malformed},
		"extensions too long":        {patch(51, good[51]+1), Malformed},
		"repeated name":              {hello(named("a.test"), named("a.test")), RepeatedExtension},
		"repeated unknown extension": {hello(extension(9, nil), named("a.test"), extension(9, nil)), RepeatedExtension},
		"many extensions":            {hello(many...), TooLarge},
		"empty name extension":       {hello(extension(0, nil)), Malformed},
		"empty list of names":        {hello(extension(0, []byte{0, 0})), Malformed},
		"empty name":                 {hello(named("")), BadName},
		"two names":                  {hello(extension(0, []byte{0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'})), Malformed},
		"name of another type":       {hello(extension(0, []byte{0, 4, 1, 0, 1, 'a'})), Malformed},
		"bytes after the list":       {hello(extension(0, []byte{0, 4, 0, 0, 1, 'a', 0})), Malformed},
		"dot at the end":             {hello(named("a.test.")), BadName},
		"port":                       {hello(named("a.test:443")), BadName},
		"NUL":                        {hello(named("a.test\x00.evil")), BadName},
		"space":                      {hello(named("a test")), BadName},
		"not ASCII":                  {hello(named("ä.test")), BadName},
		"long name":                  {hello(named(strings.Repeat("a", 256))), BadName},
	} {
		t.Run(name, func(t *testing.T) {
			got, n, err := Parse(c.sent)
			if violation, ok := errors.AsType[Violation](err); !ok || violation != c.want || n != 0 || got != nil {
				t.Fatalf("got %q of %d bytes, error %v; want error %v", got, n, err, c.want)
			}
			if c.want.Alert() == 0 || c.want.Error() == "" {
				t.Fatalf("violation %d has no alert or no text", c.want)
			}
		})
	}
}

func TestEndlessHelloIsRefused(t *testing.T) {
	// Records of one byte of a message that may still be within bounds.
	sent := []byte{}
	for _, c := range []byte{1, 0, 0x3f, 0xf0} {
		sent = append(sent, 22, 3, 1, 0, 1, c)
	}
	for len(sent) < maxBytes {
		if _, n, err := Parse(sent); n != 0 || err != nil {
			t.Fatalf("after %d bytes: length %d, error %v", len(sent), n, err)
		}
		sent = append(sent, 22, 3, 1, 0, 1, 'x')
	}
	if _, _, err := Parse(sent); err != TooLarge {
		t.Fatalf("after %d bytes: error %v", len(sent), err)
	}
}

func TestHelloWithoutExtensionsHasNoName(t *testing.T) {
	whole := hello()
	short := whole[:len(whole)-2]
	binary.BigEndian.PutUint16(short[3:], uint16(len(short)-recordHeaderBytes))
	short[8] -= 2
	if got, n, err := Parse(short); got != nil || n != len(short) || err != nil {
		t.Fatalf("got %q of %d bytes, error %v", got, n, err)
	}
}

// reference returns the server name that crypto/tls reads from a connection that begins with b.
func reference(b []byte) (name string, ok bool) {
	conn := &oneWay{}
	conn.read.Reset(b)
	stop := errors.New("that is all we want to know")
	err := tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = hello.ServerName, true
		return nil, stop
	}}).Handshake()
	if err == nil || err == io.EOF {
		return "", false
	}
	return name, ok
}

// FuzzParse compares with crypto/tls. We may let pass what that refuses in extensions that we do not read: the handshake
// fails later. With those extensions taken out, crypto/tls must accept all that we accept, and always find the same name.
func FuzzParse(f *testing.F) {
	for _, cfg := range []*tls.Config{
		{ServerName: "svc-1.lattice.test"},
		{ServerName: "SVC.test", MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2"}},
		{},
	} {
		whole := recorded(f, cfg)
		f.Add(whole)
		f.Add(refragment(whole, 20))
	}
	f.Add(hello(named("a.test")))
	f.Add(hello(extension(13, []byte{0, 2, 4, 3}), named("a.test"), extension(43, []byte{2, 3, 4})))
	f.Add(hello(named("a.test"), extension(0xfe0d, []byte{0})))
	f.Add(refragment(hello(named("a.test")), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4*maxBytes {
			return
		}
		before := bytes.Clone(b)
		name, n, err := Parse(b)
		if !bytes.Equal(b, before) {
			t.Fatal("parsing changed the bytes")
		}
		if err != nil || n == 0 {
			return
		}
		for end := max(0, n-3); end < n; end++ {
			if _, m, err := Parse(b[:end]); m != 0 || err != nil {
				t.Fatalf("accepted %d bytes, but of the first %d it says: length %d, error %v", n, end, m, err)
			}
		}
		if got, ok := reference(b[:n]); ok && got != string(name) {
			t.Fatalf("found %q, crypto/tls %q", name, got)
		}
		got, ok := reference(bare(t, b))
		if !ok || got != string(name) {
			t.Fatalf("without other extensions: found %q, crypto/tls %q (accepted: %v)", name, got, ok)
		}
	})
}

// bare returns an accepted ClientHello with its server name as the only extension, byte for byte the same up to there.
// What crypto/tls asks of every client today is added.
func bare(t *testing.T, b []byte) []byte {
	message, _, err := join(b)
	if err != nil {
		t.Fatal(err)
	}
	r := reader(message)
	r.skip(34)
	r.vector(1)
	r.vector(2)
	r.vector(1)
	head := message[:len(message)-len(r)]
	all := r.vector(2)
	kept := extension(43, []byte{4, 3, 4, 3, 3}) // supported_versions
	for len(all) > 0 {
		kind := all.number(2)
		data := all.vector(2)
		if kind == extensionServerName {
			kept = append(kept, extension(kind, data)...)
		}
	}
	body := append(bytes.Clone(head), byte(len(kept)>>8), byte(len(kept)))
	body = append(body, kept...)
	out := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return refragment(append([]byte{22, 3, 1, 0, 0}, out...), maxRecordBytes)
}
