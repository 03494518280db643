package accesslog

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"trellis/internal/routing"
)

func record() *Record {
	return &Record{
		Start: time.Date(2026, 5, 1, 10, 0, 0, 123e6, time.UTC), Duration: 7900 * time.Microsecond, ToTarget: 1200 * time.Microsecond, FromTarget: 5 * time.Millisecond,
		Connection: &Connection{Source: netip.MustParseAddrPort("10.0.1.15:43210")}, Target: &routing.Place{Address: netip.MustParseAddrPort("10.0.2.9:8080")},
		Service: &routing.Service{
			ARN: "arn:aws:vpc-lattice:us-west-2:111122223333:service/svc-0123456789abcdef0", ID: "svc-0123456789abcdef0", Name: "rates",
			NetworkARN: "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0", ListenerID: "listener-0123456789abcdef0",
		},
		Forward: &routing.Forward{TargetGroup: &routing.TargetGroup{
			ARN: "arn:aws:vpc-lattice:us-west-2:111122223333:targetgroup/tg-0123456789abcdef0", Name: "rates-v1", VpcID: "vpc-0123456789abcdef0",
		}},
		Protocol: "HTTP/1.1", Method: []byte("GET"), Path: []byte("/rates"), Query: []byte("?currency=eur"),
		Host: []byte("rates.example.com"), UserAgent: []byte("curl/8.0"), RequestID: []byte("11111111-2222-3333-4444-555555555555"),
		Status: 200, Received: 120, Sent: 310,
	}
}

// kinds are kinds of exchanges, each as a change to the record of a forwarded one.
var kinds = []struct {
	name   string
	change func(*Record)
}{
	{"forwarded", func(r *Record) {}},
	{"over TLS by HTTP/2", func(r *Record) {
		r.Protocol = "HTTP/2"
		r.TLS = &TLS{ServerName: "rates.example.com", Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256"}
	}},
	{"gRPC", func(r *Record) { r.Protocol, r.HasGRPCStatus, r.GRPCStatus = "HTTP/2", true, 14 }},
	{"answered by a rule", func(r *Record) {
		r.Status, r.Forward, r.Target, r.ToTarget, r.FromTarget = 404, nil, nil, 0, 0
	}},
	{"answered with failure by the target", func(r *Record) { r.Status = 403 }},
	{"by a function", func(r *Record) {
		r.Status, r.Failure, r.Target = 502, LambdaUnhandled, &routing.Place{Function: "arn:aws:lambda:us-west-2:111122223333:function:rates:live"}
	}},
	{"not found by the client's VPC", func(r *Record) {
		r.Status, r.Failure, r.Forward, r.Target, r.ToTarget, r.FromTarget = 404, ClientAccessDenied, nil, nil, 0, 0
	}},
	{"from a VPC", func(r *Record) {
		r.SourceVpc = &routing.Source{VpcID: "vpc-0fedcba9876543210", VpcARN: "arn:aws:ec2:us-west-2:111122223333:vpc/vpc-0fedcba9876543210"}
	}},
	{"no target answers", func(r *Record) {
		r.Status, r.Failure, r.Problem = 500, TargetConnectionError, errors.New("connection refused")
	}},
	{"denied", func(r *Record) {
		r.Status, r.Failure, r.Forward, r.Target, r.ToTarget, r.FromTarget = 403, ClientAccessDenied, nil, nil, 0, 0
		r.Caller = &Caller{ResolvedUser: "Anonymous", Denied: DeniedByService}
	}},
	{"signed", func(r *Record) {
		user := "arn:aws:iam::111122223333:user/ops"
		r.Caller = &Caller{ResolvedUser: user, Principal: user, PrincipalTags: map[string]string{"team": "a", "stage": `"x"`}}
	}},
	{"signed, and denied by the network's policy", func(r *Record) {
		r.Status, r.Failure, r.Forward, r.Target, r.ToTarget, r.FromTarget = 403, ClientAccessDenied, nil, nil, 0, 0
		r.Caller = &Caller{ResolvedUser: "arn:aws:sts::111122223333:assumed-role/web/one", Denied: DeniedByNetwork}
	}},
	{"signed with a key that nobody has", func(r *Record) {
		r.Status, r.Failure, r.Forward, r.Target, r.ToTarget, r.FromTarget = 403, ClientAccessDenied, nil, nil, 0, 0
		r.Caller = &Caller{ResolvedUser: "Unknown"}
	}},
	{"unknown host", func(r *Record) {
		r.Status, r.Service, r.Forward, r.Target, r.ToTarget, r.FromTarget = 404, nil, nil, nil, 0, 0
		r.Host, r.UserAgent = []byte("nobody\x01\"\xff.example"), nil
	}},
	{"passed through", func(r *Record) {
		*r = Record{Start: r.Start, Duration: r.Duration, Connection: r.Connection, Target: r.Target, Service: r.Service, Forward: r.Forward,
			Protocol: "TLS", Received: 5000, Sent: 90000}
		r.TLS = &TLS{ServerName: "rates.example.com"}
	}},
}

// The golden file has an entry for each kind of exchange.
func TestEntriesAreWrittenAsAWSWritesThem(t *testing.T) {
	want, err := os.ReadFile("testdata/entries.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range kinds {
		r := record()
		c.change(r)
		var e Entry
		e.Take(r, &Room{Text: []byte("text of others")})
		entry := e.Append([]byte("before"))
		entry = entry[len("before"):]
		var fields map[string]any
		if err := json.Unmarshal(entry, &fields); err != nil {
			t.Errorf("%s: %v: %s", c.name, err, entry)
		}
		watched := AppendDetails(entry[:len(entry)-1:len(entry)-1], r)
		if err := json.Unmarshal(watched, &fields); err != nil {
			t.Errorf("%s, watched: %v: %s", c.name, err, watched)
		}
		got.WriteString("# " + c.name + "\n" + string(entry) + "\n")
	}
	for _, c := range []struct {
		name   string
		change func(*ResourceRecord)
	}{
		{"to a resource, through an association", func(r *ResourceRecord) {}},
		{"to a resource, by an endpoint", func(r *ResourceRecord) {
			r.NetworkARN, r.AssociationID, r.EndpointID = "", "", "vpce-0123456789abcdef0"
		}},
		{"to a resource that does not answer", func(r *ResourceRecord) { r.Gateway = netip.AddrPort{} }},
	} {
		r := &ResourceRecord{
			Start:            time.Date(2026, 5, 1, 10, 0, 0, 7e6, time.UTC),
			NetworkARN:       "arn:aws:vpc-lattice:us-west-2:111122223333:servicenetwork/sn-0123456789abcdef0",
			AssociationID:    "snra-0123456789abcdef0",
			SourceVpcARN:     "arn:aws:ec2:us-west-2:111122223333:vpc/vpc-0123456789abcdef0",
			ConfigurationARN: "arn:aws:vpc-lattice:us-west-2:111122223333:resourceconfiguration/rcfg-0123456789abcdef0",
			Source:           netip.MustParseAddrPort("[::ffff:10.0.1.15]:43210"), Destination: netip.MustParseAddrPort("127.100.0.7:5432"),
			Gateway: netip.MustParseAddrPort("10.0.2.1:51000"), Resource: netip.MustParseAddrPort("10.0.2.9:5432"),
		}
		c.change(r)
		entry := AppendResourceEntry(nil, r)
		if err := json.Unmarshal(entry, new(map[string]any)); err != nil {
			t.Errorf("%s: %v: %s", c.name, err, entry)
		}
		got.WriteString("# " + c.name + "\n" + string(entry) + "\n")
	}
	if got.String() != string(want) {
		t.Errorf("testdata/entries.txt should be:\n%s", got.String())
	}
}

func TestLineOfAnEntryIsTheSameAfterAnyOther(t *testing.T) {
	var list []Entry
	var room Room
	for _, c := range kinds {
		r := record()
		c.change(r)
		list = append(list, Entry{})
		list[len(list)-1].Take(r, &room)
	}
	for i := range list {
		for j := range list {
			var line Line
			line.Become(&list[i], nil)
			before := string(line.Text())
			changes := line.Become(&list[j], nil)
			want := string(list[j].Append(nil)) + LineEnd
			if string(line.Text()) != want {
				t.Errorf("after %s, %s is\n%s\nwant\n%s", kinds[i].name, kinds[j].name, line.Text(), want)
			}
			at, shift := 0, 0
			for _, c := range append(changes, Change{Start: len(want), End: len(want)}) {
				if got := before[at-shift : c.Start-shift]; got != want[at:c.Start] {
					t.Errorf("after %s, %s has %q in place of %q, which is not said to have changed", kinds[i].name, kinds[j].name, want[at:c.Start], got)
				}
				at, shift = c.End, c.Shift
			}
			if i == j && kinds[i].name != "signed" && len(changes) > 0 { // Tags are written again.
				t.Errorf("%s after itself has the changes %v, want none", kinds[i].name, changes)
			}
		}
	}
}

func TestEntryAllocatesNothing(t *testing.T) {
	r, text, e, room, line := record(), make([]byte, 0, 4<<10), Entry{}, Room{}, new(Line)
	r.Caller = &Caller{ResolvedUser: "Anonymous"}
	changes := make([]Change, 0, numParts)
	if n := testing.AllocsPerRun(100, func() {
		r.Sent++
		room.Reset()
		e.Take(r, &room)
		text = e.Append(text[:0])
		line.Become(&e, changes)
	}); n != 0 {
		t.Errorf("an entry takes %v allocations", n)
	}
}

func BenchmarkEntry(b *testing.B) {
	r, e, room, text := record(), Entry{}, Room{}, make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		room.Reset()
		e.Take(r, &room)
		text = e.Append(text[:0])
	}
}

func BenchmarkTake(b *testing.B) {
	r, e, room := record(), Entry{}, Room{}
	for b.Loop() {
		room.Reset()
		e.Take(r, &room)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("a\"\\\x00\xff\u2028"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var back string
		if err := json.Unmarshal(append(appendText([]byte(`"`), text), '"'), &back); err != nil {
			t.Fatalf("%q becomes %s: %v", text, appendText(nil, text), err)
		}
		if want := strings.ToValidUTF8(string(text), ""); strings.ReplaceAll(back, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Fatalf("%q comes back as %q", text, back)
		}
	})
}
