package console

import (
	"io/fs"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/internal/lattice"
	"trellis/internal/principal"
	"trellis/internal/routing"
	"trellis/internal/shape"
	"trellis/internal/tally"
)

const maxAssetBytes = 100 << 10

func TestAssetsAreSmallAndNeedNoOtherAddress(t *testing.T) {
	total := 0
	outside := regexp.MustCompile(`(?:https?:)?//[a-z0-9]`)
	err := fs.WalkDir(embedded, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := embedded.ReadFile(path)
		total += len(text)
		for _, line := range strings.Split(string(text), "\n") {
			if found := outside.FindString(line); found != "" && !strings.Contains(line, "http://www.w3.org/2000/svg") {
				t.Errorf("%s names an address: %s", path, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > maxAssetBytes {
		t.Errorf("the files have %d bytes together, more than %d", total, maxAssetBytes)
	}
}

func TestEveryPageHasItsTemplateAndEveryTemplateIsUsed(t *testing.T) {
	files, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	used := []string{"refused.html", "sign_in.html"}
	for _, p := range pages() {
		if files.pages[p.template] == nil {
			t.Errorf("the page %q has the template %s, which does not exist", p.path, p.template)
		}
		used = append(used, p.template)
	}
	for name := range files.pages {
		if !slices.Contains(used, name) {
			t.Errorf("no page has the template %s", name)
		}
	}
}

// visitTo is a visit of a page that needs nothing but its address.
func visitTo(address string) *visit {
	return &visit{Console: &Console{cfg: Config{API: "http://127.0.0.1:7600"}}, r: httptest.NewRequest("GET", address, nil), scope: lattice.Scope{Account: "000000000000", Region: "us-west-2"}}
}

func numbers(n int) list[int] {
	l := list[int]{label: "Numbers", key: func(i int) string { return string(rune('a' + i)) },
		matches: func(i int, word string) bool { return strings.HasSuffix(url.QueryEscape(string(rune('0'+i%10))), word) },
		columns: []column[int]{
			{name: "Value", number: true, by: byNumber(func(i int) int { return i }), cell: func(i int) cell { return number(i) }},
		},
	}
	for i := range n {
		l.items = append(l.items, i)
	}
	return l
}

func texts(t *table) (found []string) {
	for _, row := range t.Rows {
		found = append(found, row.Cells[0].Text)
	}
	return found
}

func TestListsAreSortedFilteredAndCutOnTheServer(t *testing.T) {
	first := numbers(120).show(visitTo("/console/x?other=kept"))
	if len(first.Rows) != perPage || first.Rows[0].Cells[0].Text != "0" || first.To != perPage || first.Previous != "" {
		t.Errorf("the first page has %d rows from %v to %d, want %d from 0", len(first.Rows), texts(first)[0], first.To, perPage)
	}
	second := numbers(120).show(visitTo(first.Next))
	if second.From != perPage+1 || second.Previous == "" || !strings.Contains(second.Next, "other=kept") {
		t.Errorf("the next page, %s, begins at %d and leads to %q", first.Next, second.From, second.Next)
	}
	beyond := numbers(120).show(visitTo("/console/x?page=99"))
	if beyond.From != 101 || beyond.Next != "" {
		t.Errorf("a page beyond the last one begins at %d, want 101 as the last one", beyond.From)
	}
	// Sorting by a number shows the largest first; sorting again, the smallest.
	largest := numbers(120).show(visitTo(first.Headings[0].Link))
	if got := texts(largest)[0]; got != "119" || largest.Headings[0].Sorted != "descending" {
		t.Errorf("sorted by %s, %s is first (%s)", first.Headings[0].Link, got, largest.Headings[0].Sorted)
	}
	if smallest := numbers(120).show(visitTo(largest.Headings[0].Link)); texts(smallest)[0] != "0" || smallest.Headings[0].Sorted != "ascending" {
		t.Errorf("sorted again, %s is first, want 0", texts(smallest)[0])
	}
	sevens := numbers(120).show(visitTo("/console/x?q=7&page=2"))
	if sevens.Matching != 12 || sevens.Total != 120 || len(sevens.Rows) != 12 {
		t.Errorf("%d of %d match, and %d are shown", sevens.Matching, sevens.Total, len(sevens.Rows))
	}
	if none := numbers(120).show(visitTo("/console/x?q=nothing")); none.Matching != 0 || none.From != 0 {
		t.Errorf("%d match nothing, from %d", none.Matching, none.From)
	}
}

func TestCommandLinesHaveAllMembersAndAreQuoted(t *testing.T) {
	v := visitTo("/console/x")
	for _, test := range []struct{ got, want string }{
		{v.command("", "CreateService", &shape.CreateServiceRequest{Name: new("shop"), AuthType: shape.AuthTypeAwsIam, Tags: map[string]string{"who's": "it"}}).Line,
			`aws vpc-lattice create-service --auth-type AWS_IAM --name shop --tags '{"who'\''s":"it"}' --region us-west-2 --endpoint-url http://127.0.0.1:7600`},
		{v.command("", "CreateServiceNetworkVpcAssociation", &shape.CreateServiceNetworkVpcAssociationRequest{
			ServiceNetworkIdentifier: new("sn-1"), VpcIdentifier: new("vpc-1"), PrivateDnsEnabled: new(false), SecurityGroupIds: []string{"sg-1", "sg-2"}}).Line,
			`aws vpc-lattice create-service-network-vpc-association --no-private-dns-enabled --security-group-ids '["sg-1","sg-2"]' --service-network-identifier sn-1 --vpc-identifier vpc-1 --region us-west-2 --endpoint-url http://127.0.0.1:7600`},
		{v.command("", "UpdateRule", &shape.UpdateRuleRequest{ListenerIdentifier: new("listener-1"), Priority: new(int32(7)),
			Match: &shape.RuleMatch{HttpMatch: &shape.HttpMatch{Method: new("<&>"), HeaderMatches: []shape.HeaderMatch{}}}}).Line,
			`aws vpc-lattice update-rule --listener-identifier listener-1 --match '{"httpMatch":{"method":"<&>"}}' --priority 7 --region us-west-2 --endpoint-url http://127.0.0.1:7600`},
	} {
		if test.got != test.want {
			t.Errorf("the line is\n%s\nwant\n%s", test.got, test.want)
		}
	}
}

func TestSamplesTellWhatHappenedBetweenReadings(t *testing.T) {
	var s sampler
	service := &tally.Exchanges{}
	here := tally.NewShards().Here()
	first, second := &tally.Exchanges{}, &tally.Exchanges{}
	counted := routing.Counted{
		Services: []routing.CountedService{{ID: "svc-1", Exchanges: service}},
		Rules:    []routing.CountedRule{{ID: "rule-1", ListenerID: "listener-1", Exchanges: first}, {ID: "rule-2", ListenerID: "listener-1", Exchanges: second}},
	}
	take := func(at time.Time) {
		s.take(at, func(read func(string, *figures, ...string)) { readExchanges(counted, read) })
	}
	at := time.Unix(1700000000, 0)
	for range 100 {
		service.End(here, tally.NewEnd(tally.OutcomeOf(200), time.Millisecond, 0)) // Before anybody read.
	}
	take(at)
	for i := range 50 {
		status := 200
		if i < 10 {
			status = 503
		}
		end := tally.NewEnd(tally.OutcomeOf(status), 100*time.Millisecond, 0)
		service.End(here, end)
		rule := first
		if i%5 == 0 {
			rule = second
		}
		rule.End(here, end)
	}
	take(at.Add(pace))
	samples, ok := s.of("svc-1")
	last := samples[keptSamples-1]
	if !ok || last.requests != 50 || last.failures != 10 || last.seconds != float32(pace.Seconds()) {
		t.Errorf("the last sample is %+v (%t)", last, ok)
	}
	if last.slow < 0.08 || last.slow > 0.11 {
		t.Errorf("p99 of requests of 0.1 s is %v", last.slow)
	}
	if now := s.traffic("svc-1"); now.Rate != 10 || now.Failures != 0.2 {
		t.Errorf("lately there were %v requests a second, %v of them failed", now.Rate, now.Failures)
	}
	for id, want := range map[string]float64{"rule-1": 8, "rule-2": 2, "listener-1": 10} {
		if now := s.traffic(id); now.Rate != want {
			t.Errorf("%s had %v requests a second, not %v", id, now.Rate, want)
		}
	}
	counted.Rules = counted.Rules[1:]
	second.End(here, tally.NewEnd(tally.OutcomeOf(200), time.Millisecond, 0))
	take(at.Add(2 * pace))
	samples, _ = s.of("listener-1")
	if last := samples[keptSamples-1]; last.requests != 1 || last.failures != 0 {
		t.Errorf("after one of its rules was deleted, the last sample of the listener is %+v", last)
	}
	if _, ok := s.of("rule-1"); ok {
		t.Error("the samples of a rule that has been deleted are kept")
	}
	counted = routing.Counted{}
	take(at.Add(3 * pace))
	if len(s.all) != 0 || len(s.counters) != 0 {
		t.Errorf("%d series and %d counters of what has been deleted are kept", len(s.all), len(s.counters))
	}
}

func TestSessionsEndAndAreBounded(t *testing.T) {
	s := sessions{all: byCookie(nil)}
	key := &principal.Principal{AccessKeyID: "AKID", SecretKey: "secret", Account: "000000000000"}
	known := func(string) (*principal.Principal, bool) { return key, key != nil }
	start := time.Unix(1700000000, 0)
	alive := func(name string, at time.Time) bool { return s.principal(name, at, known) != nil }

	idle := s.begin(key, start)
	if !alive(idle, start.Add(sessionIdle)) {
		t.Error("a session in use has ended")
	}
	if alive(idle, start.Add(2*sessionIdle+time.Second)) {
		t.Error("a session that was idle for too long has not ended")
	}
	old := s.begin(key, start)
	for at := start; at.Before(start.Add(sessionLife)); at = at.Add(sessionIdle) {
		alive(old, at)
	}
	if alive(old, start.Add(sessionLife+time.Second)) {
		t.Error("a session lives for longer than it may")
	}
	changed := s.begin(key, start)
	key = &principal.Principal{AccessKeyID: "AKID", SecretKey: "another", Account: "000000000000"}
	if alive(changed, start) {
		t.Error("the secret of the key has changed, and the session goes on")
	}
	gone := s.begin(key, start)
	key = nil
	if alive(gone, start) {
		t.Error("the key is gone, and the session goes on")
	}
	key = &principal.Principal{AccessKeyID: "AKID", SecretKey: "secret", Expires: start.Add(time.Minute)}
	temporary := s.begin(key, start)
	if !alive(temporary, start) || alive(temporary, start.Add(2*time.Minute)) {
		t.Error("a session does not end with its temporary credentials")
	}
	for range 3 * maxSessions {
		s.begin(key, start)
	}
	if len(s.all) != maxSessions {
		t.Errorf("there are %d sessions, more than %d", len(s.all), maxSessions)
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{grouped(0), "0"}, {grouped(999), "999"}, {grouped(1000), "1\u202f000"}, {grouped(1234567), "1\u202f234\u202f567"}, {grouped(-5), "-5"},
		{latency(0), "–"}, {latency(0.00025), "250 µs"}, {latency(0.0042), "4.2 ms"}, {latency(0.25), "250 ms"}, {latency(2.5), "2.5 s"},
		{percent(0), "0 %"}, {percent(0.012), "1.2 %"}, {percent(1), "100 %"}, {words("CREATE_IN_PROGRESS"), "Create in progress"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
