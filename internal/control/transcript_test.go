package control

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"trellis/internal/api"
	"trellis/internal/authorization"
	"trellis/internal/catalog"
	"trellis/internal/inventory"
	"trellis/internal/lattice"
	"trellis/internal/policy"
	"trellis/internal/principal"
	"trellis/internal/shape"
)

// A transcript is a file testdata/<resource>/<what it shows>.txt. It is played through the real handler, operations
// and catalog, in an account of its own, and must come out as it stands there:
//
//	# A comment.
//	@advance 60s
//	POST /targetgroups
//	{"name": "web", "type": "LAMBDA"}
//	$tg = .id
//	----
//	201
//	{ the response, indented, with its members in order }
//
//	GET /targetgroups/$tg
//	----
//	404 ResourceNotFoundException
//	...
//
// A step is a method and path, a body (on any number of lines), variables to be taken out of the response, and after
// the dashes the response; an empty line ends it. A step that begins with a + is preparation: it must succeed, and its
// answer is not shown. A new transcript is written without dashes and answers, which
// `go test ./internal/control -run Transcripts/targets -update` adds; what it wrote must be read before it is believed.
//
// Variables ($tg, $arn) are replaced in paths, where they are escaped, and in bodies. 123456789012 is the caller's
// account, 210987654321 a second one. The clock stands still at 2026-01-01 unless it is advanced. In answers, ids are
// numbered in the order in which they appear (tg-1), except those that the transcript itself spells out.
//
// Directives, which hold from there on:
//
//	@advance 60s                            let time pass, end the deletions and drains that are due, and look for TXT records
//	@health $tg 10.0.0.1:80 UNHEALTHY why   the status and reason code of a target; without a port for a function
//	@lifecycle-delay 2s                     how long resources are in progress; 0 at the start
//	@deregistration-delay 0s                how long targets drain; 60s at the start
//	@quota rulesPerListener 3               a quota, by its name in the configuration file
//	@account 210987654321                   who calls
//	@region eu-west-1                       where; us-west-2 at the start
//	@txt $name.example.com $value           a TXT record that is published
//	@endpoint vpce-01 ... Resource $rcfg    a VPC endpoint in the inventory, of the type Resource or ServiceNetwork, and
//	                                        its VPC vpc-01234567 with the default security group sg-0def0def; an
//	                                        account after that is its owner, and a time after the account when it
//	                                        was created; - for the type takes it out again
//	@repeat 50 POST /targetgroups {...}     the same request many times, with %d counting from 1; each must succeed
//	@policy {...}                           the identity policy of who calls; at the start it allows everything
//	@creations-fail Code Why it is so.      what is created from now on fails; - for the code ends that
//	@throttle                               the caller has used up what it may ask for in a second
//	@panic                                  every operation has a bug that makes it panic

var update = flag.Bool("update", false, "write the responses of the transcripts again")

// store is the catalog of all tests. TestMain opens it.
var store *catalog.Catalog

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := runWithStore(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runWithStore(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "trellis-control")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	store, err = catalog.Open(context.Background(), catalog.Config{
		DataDir:   dir,
		Ephemeral: true,
		Apply:     func([]lattice.Change) {},
		Log:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return 0, err
	}
	code = m.Run()
	return code, store.Close()
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "testdata/"), ".txt")
		t.Run(name, func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newPlayer(t, file).play(string(want))
			if got == string(want) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s is played differently (-want +got):\n%s", file, cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")))
		})
	}
}

// testEpoch is when the clock stands still.
var testEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// The accounts as transcripts spell them.
const (
	writtenAccount = "123456789012"
	writtenOther   = "210987654321"
)

// testAccounts counts the accounts that tests have been given.
var testAccounts atomic.Int64

func newTestAccount() string { return fmt.Sprintf("%012d", 500000000000+testAccounts.Add(1)) }

// player plays one transcript.
type player struct {
	t       *testing.T
	file    string
	line    int
	control *Control
	handler http.Handler
	now     time.Time
	health  scriptedHealth
	records scriptedRecords
	// endpoints are those of the inventory by id, in YAML; inventory is what they add up to.
	endpoints map[string]string
	inventory *inventory.Snapshot
	caller    api.Caller
	// real maps the accounts as they are written to those that they stand for.
	real map[string]string
	vars map[string]string
	// labels are what ids are shown as, by id; written is the transcript itself, whose ids are shown as they are.
	labels  map[string]string
	written string
}

func newPlayer(t *testing.T, file string) *player {
	p := &player{
		t: t, file: file, now: testEpoch, health: scriptedHealth{}, records: scriptedRecords{}, endpoints: map[string]string{},
		real: map[string]string{writtenAccount: newTestAccount(), writtenOther: newTestAccount()},
		vars: map[string]string{}, labels: map[string]string{},
	}
	p.caller = api.Caller{Account: p.real[writtenAccount], Region: "us-west-2", Principal: "arn:aws:iam::" + p.real[writtenAccount] + ":user/tester"}
	p.control = New(Config{
		Catalog: store, Health: p.health, Inventory: p, Resolver: p.records, Domain: "localhost", DeregistrationDelay: time.Minute,
		Addresses: lattice.AddressPolicy{Local: true},
		Now:       func() time.Time { return p.now }, Log: slog.New(slog.DiscardHandler),
	})
	p.open(api.Config{})
	t.Cleanup(p.leave)
	return p
}

// leave deletes what other tests could not have at the same time: domain names belong to one account.
func (p *player) leave() {
	err := store.Commit(context.Background(), func(tx *catalog.Tx) error {
		for _, account := range p.real {
			for _, region := range []string{"us-west-2", "eu-west-1"} {
				for _, kind := range []lattice.Kind{lattice.KindService, lattice.KindDomainVerification} {
					for _, rec := range slices.Collect(catalog.All[lattice.Record](tx, lattice.All(kind, lattice.Scope{Account: account, Region: region}))) {
						tx.Delete(rec.Key())
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		p.t.Error(err)
	}
}

// open makes a new handler, with what a transcript wants of it.
func (p *player) open(cfg api.Config) {
	if cfg.Operations == nil {
		cfg.Operations = p.control
	}
	cfg.Authenticator, cfg.Log = p, p.control.Log
	p.handler = api.NewHandler(cfg)
}

// Authenticate accepts everybody, as the caller that the transcript names.
func (p *player) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return p.caller, nil
}

// scriptedHealth is the status of targets as a transcript says. Without a word, a target is not in use.
type scriptedHealth map[string]scriptedStatus

type scriptedStatus struct {
	status     shape.TargetStatus
	reasonCode string
}

func (h scriptedHealth) Status(target *lattice.Target) (shape.TargetStatus, string) {
	id := target.ID
	if target.Port != 0 {
		id += ":" + strconv.Itoa(int(target.Port))
	}
	if s, ok := h[target.TargetGroupID+" "+id]; ok {
		return s.status, s.reasonCode
	}
	return shape.TargetStatusUnused, "TargetGroupNotInUse"
}

// scriptedRecords are the TXT records that a transcript publishes, by name.
type scriptedRecords map[string][]string

func (r scriptedRecords) LookupTXT(_ context.Context, name string) ([]string, error) {
	if values, ok := r[strings.TrimSuffix(name, ".")]; ok {
		return values, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// Current returns the inventory that the transcript has made.
func (p *player) Current() *inventory.Snapshot { return p.inventory }

// endpoint puts an endpoint into the inventory, or takes it out.
func (p *player) endpoint(id, endpointType, to string, more ...string) {
	owner, createdAt := "", ""
	if len(more) > 0 {
		owner = more[0]
	}
	if len(more) > 1 {
		createdAt = ", createdAt: " + more[1]
	}
	delete(p.endpoints, id)
	member := map[string]string{"Resource": "resourceConfiguration", "ServiceNetwork": "serviceNetwork"}[endpointType]
	if member != "" {
		p.endpoints[id] = fmt.Sprintf("{id: %s, vpc: vpc-01234567, type: %s, %s: %q, owner: %q%s}", id, endpointType, member, to, owner, createdAt)
	}
	text := "vpcs: [{id: vpc-01234567, cidrs: [10.0.0.0/16], defaultSecurityGroup: sg-0def0def}]\nvpcEndpoints: [" + strings.Join(slices.Collect(maps.Values(p.endpoints)), ", ") + "]"
	var err error
	if p.inventory, err = inventory.Parse([]byte(text), "/", os.ReadFile); err != nil {
		p.fatalf("%v", err)
	}
}

// play plays a transcript and returns it with the responses that came.
func (p *player) play(transcript string) string {
	p.t.Helper()
	p.written = transcript
	lines := strings.Split(transcript, "\n")
	var out strings.Builder
	for i := 0; i < len(lines); {
		p.line = i + 1
		switch line := lines[i]; {
		case line == "" || strings.HasPrefix(line, "#"):
			i++
		case strings.HasPrefix(line, "@"):
			p.obey(strings.Fields(p.expand(line[1:], asItIs)))
			i++
		default:
			end := i
			for end < len(lines) && lines[end] != "" {
				end++
			}
			request := lines[i:end]
			for n, line := range request {
				if line == "----" {
					request = request[:n]
					break
				}
			}
			out.WriteString(strings.Join(request, "\n") + "\n" + p.step(request))
			i = end
			continue
		}
		out.WriteString(lines[i-1])
		if i < len(lines) {
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// step sends a request and returns the response as a transcript shows it.
func (p *player) step(lines []string) string {
	request, isPreparation := strings.CutPrefix(lines[0], "+")
	method, path, ok := strings.Cut(request, " ")
	if !ok {
		p.fatalf("%q is no request: a method and a path, or a directive behind an @, are expected", lines[0])
	}
	var body, captures []string
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "$") {
			captures = append(captures, line)
		} else {
			body = append(body, line)
		}
	}
	status, answer := p.send(method, path, strings.Join(body, "\n"))
	if isPreparation && status[0] != '2' {
		p.fatalf("%s: %s %v", lines[0], status, answer)
	}
	for _, capture := range captures {
		name, at, ok := strings.Cut(capture, " = ")
		if !ok {
			p.fatalf("%q does not say which variable is what: $name = .member", capture)
		}
		p.vars[name] = p.find(answer, at)
	}
	if isPreparation {
		p.show(answer) // its ids are numbered too
		return ""
	}
	return "----\n" + status + "\n" + p.show(answer)
}

// send sends a request and returns the status line and the decoded answer, nil for an empty one.
func (p *player) send(method, path, body string) (status string, answer any) {
	r := httptest.NewRequest(method, p.expand(path, url.PathEscape), strings.NewReader(p.expand(body, asItIs)))
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	status = strings.TrimSpace(strconv.Itoa(w.Code) + " " + w.Header().Get("X-Amzn-Errortype"))
	decoder := json.NewDecoder(w.Body)
	decoder.UseNumber()
	if err := decoder.Decode(&answer); err != nil && err != io.EOF {
		p.fatalf("the response is not JSON: %v", err)
	}
	return status, answer
}

// obey carries out a directive.
func (p *player) obey(words []string) {
	arguments := map[string]int{"advance": 1, "lifecycle-delay": 1, "deregistration-delay": 1, "quota": 2, "account": 1, "region": 1, "health": 3, "repeat": 3, "txt": 2, "endpoint": 3, "policy": 1, "creations-fail": 1, "throttle": 0, "panic": 0}
	if least, ok := arguments[words[0]]; !ok || len(words) <= least {
		p.fatalf("there is no such directive: %s", strings.Join(words, " "))
	}
	switch words[0] {
	case "advance":
		p.now = p.now.Add(p.duration(words[1]))
		if _, err := p.control.endDue(context.Background()); err != nil {
			p.fatalf("ending what is due: %v", err)
		}
		p.control.verifyDue(context.Background())
	case "lifecycle-delay":
		p.control.LifecycleDelay = p.duration(words[1])
	case "deregistration-delay":
		p.control.DeregistrationDelay = p.duration(words[1])
	case "quota":
		id, ok := lattice.QuotaNamed(words[1])
		limit, err := strconv.Atoi(words[2])
		if !ok || err != nil {
			p.fatalf("there is no such quota: %s", strings.Join(words[1:], " "))
		}
		p.control.quotas[id].Limit = limit
	case "account":
		p.caller.Account = words[1]
	case "region":
		p.caller.Region = words[1]
	case "health":
		s := scriptedStatus{status: shape.TargetStatus(words[3])}
		if len(words) > 4 {
			s.reasonCode = words[4]
		}
		p.health[words[1]+" "+words[2]] = s
	case "txt":
		p.records[words[1]] = append(p.records[words[1]], words[2])
	case "endpoint":
		p.endpoint(words[1], words[2], words[3], words[4:]...)
	case "repeat":
		p.repeat(words[1], words[2], words[3], strings.Join(words[4:], " "))
	case "policy":
		p.open(api.Config{Authorizer: p.authorizer(strings.Join(words[1:], " "))})
	case "creations-fail":
		code, message := strings.TrimPrefix(words[1], "-"), strings.Join(words[2:], " ")
		p.control.FailCreation = func(lattice.Kind) (string, string) { return code, message }
	case "throttle":
		p.open(api.Config{Limits: api.Limits{Rate: 1, Burst: 0}})
	case "panic":
		p.open(api.Config{Operations: struct{ api.Operations }{}})
	}
}

// authorizer decides by one identity policy, whoever the caller is.
func (p *player) authorizer(text string) api.Authorizer {
	document, err := policy.Parse(text)
	if err != nil {
		p.fatalf("%v", err)
	}
	return authorization.New(authorization.Config{Principals: everybody{document}, Resources: storedResources{}})
}

// everybody is every principal there is, with one policy.
type everybody struct{ document *policy.Document }

func (e everybody) Principal(string) (*principal.Principal, bool) {
	return &principal.Principal{Policies: policy.Set{e.document}}, true
}

// storedResources are the resources in the catalog of all tests.
type storedResources struct{}

func (storedResources) Resource(key lattice.Key) (resource lattice.Resource, ok bool) {
	store.Read(func(v catalog.View) { resource, ok = catalog.Get[lattice.Resource](v, key) })
	return resource, ok
}

func (p *player) repeat(times, method, path, body string) {
	n, err := strconv.Atoi(times)
	if err != nil {
		p.fatalf("%v", err)
	}
	for i := range n {
		count := strings.NewReplacer("%d", strconv.Itoa(i+1))
		if status, answer := p.send(method, count.Replace(path), count.Replace(body)); status[0] != '2' {
			p.fatalf("request %d: %s %v", i+1, status, answer)
		}
	}
}

var variable = regexp.MustCompile(`\$[a-zA-Z]\w*`)

func asItIs(s string) string { return s }

// expand replaces variables and accounts by what they stand for.
func (p *player) expand(text string, escape func(string) string) string {
	text = variable.ReplaceAllStringFunc(text, func(name string) string {
		v, ok := p.vars[name]
		if !ok {
			p.fatalf("%s has no value", name)
		}
		return escape(v)
	})
	return strings.NewReplacer(writtenAccount, p.real[writtenAccount], writtenOther, p.real[writtenOther]).Replace(text)
}

// find returns the string at a place in a response, such as .items[0].id.
func (p *player) find(answer any, at string) string {
	place := answer
	for _, step := range strings.FieldsFunc(at, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		switch container := place.(type) {
		case map[string]any:
			place = container[step]
		case []any:
			if i, err := strconv.Atoi(step); err == nil && i < len(container) {
				place = container[i]
				continue
			}
			place = nil
		default:
			place = nil
		}
	}
	found, ok := place.(string)
	if !ok {
		p.fatalf("there is no string at %s in %v", at, answer)
	}
	return found
}

var (
	shownID     = regexp.MustCompile(`\b([a-z]+)-(0[0-9a-f]{16})\b`)
	shownDomain = regexp.MustCompile(`-(0[0-9a-f]{16})\.`)
	shownTXT    = regexp.MustCompile(`"(_|vpc-lattice:)[a-z2-7]{13}"`)
	shownUUID   = regexp.MustCompile(`\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)
)

// show returns a response's text, in which what is different each time is replaced.
func (p *player) show(answer any) string {
	if answer == nil {
		return ""
	}
	if members, ok := answer.(map[string]any); ok && members["nextToken"] != nil {
		members = maps.Clone(members)
		members["nextToken"] = "<token>"
		answer = members
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(answer); err != nil {
		p.fatalf("%v", err)
	}
	shown := shownUUID.ReplaceAllString(text.String(), "<uuid>")
	shown = shownTXT.ReplaceAllString(shown, `"${1}<13 characters>"`)
	shown = shownID.ReplaceAllStringFunc(shown, p.label)
	shown = shownDomain.ReplaceAllStringFunc(shown, func(s string) string {
		if label, ok := p.labels["svc-"+strings.Trim(s, "-.")]; ok {
			return "-" + label + "."
		}
		return s
	})
	return strings.NewReplacer(p.real[writtenAccount], writtenAccount, p.real[writtenOther], writtenOther).Replace(shown)
}

// label returns what an id is shown as: its prefix and which of those it is. Ids in host names follow a name, so that
// their prefix is not one of a resource.
func (p *player) label(id string) string {
	prefix, _, _ := strings.Cut(id, "-")
	if strings.Contains(p.written, id) || !strings.Contains(idPrefixes, " "+prefix+" ") {
		return id
	}
	if p.labels[id] == "" {
		n := 1
		for other := range p.labels {
			if strings.HasPrefix(other, prefix+"-") {
				n++
			}
		}
		p.labels[id] = prefix + "-" + strconv.Itoa(n)
	}
	return p.labels[id]
}

const idPrefixes = " als dv listener rcfg rea rgw rule sn snra snsa snva svc tg "

func (p *player) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.fatalf("%v", err)
	}
	return d
}

func (p *player) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("%s:%d: %s", p.file, p.line, fmt.Sprintf(format, args...))
}
