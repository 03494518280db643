package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/control"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

var here = lattice.Scope{Account: "123456789012", Region: "us-west-2"}

// world is a store with the operations that write into it.
type world struct {
	*Store
	t       *testing.T
	handler http.Handler
}

func open(t *testing.T) *world {
	t.Helper()
	c, err := catalog.Open(t.Context(), catalog.Config{Ephemeral: true, DataDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	addresses := lattice.AddressPolicy{}
	operations := control.New(control.Config{Catalog: c, Health: unused{}, Domain: "localhost", DeregistrationDelay: time.Minute, Addresses: addresses, ResourceAddresses: 100})
	w := &world{Store: New(Config{Catalog: c, Domain: "localhost", Addresses: addresses}), t: t}
	w.handler = api.NewHandler(api.Config{Operations: operations, Authenticator: w})
	return w
}

// Authenticate implements api.Authenticator.
func (w *world) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: here.Account, Region: here.Region, Principal: "arn:aws:iam::123456789012:root"}, nil
}

type unused struct{}

func (unused) Status(*lattice.Target) (shape.TargetStatus, string) {
	return shape.TargetStatusUnused, "TargetGroupNotInUse"
}

// call calls an operation and returns the id in its response.
func (w *world) call(method, target, body string) string {
	w.t.Helper()
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, httptest.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(body)))
	var created struct{ ID string }
	if err := json.Unmarshal(answer.Body.Bytes(), &created); answer.Code >= 300 || err != nil && answer.Body.Len() > 0 {
		w.t.Fatalf("%s %s %s is answered %d %s", method, target, body, answer.Code, answer.Body)
	}
	return created.ID
}

// furnish stores at least one record of each kind.
func (w *world) furnish() {
	w.t.Helper()
	post := func(target, body string) string { w.t.Helper(); return w.call("POST", target, body) }
	network := post("/servicenetworks", `{"name":"net","authType":"AWS_IAM","tags":{"team":"yes","n":"007"}}`)
	service := post("/services", `{"name":"web","customDomainName":"web.example.com","authType":"AWS_IAM","clientToken":"once"}`)
	group := post("/targetgroups", `{"name":"blue","type":"IP","config":{"vpcIdentifier":"vpc-0123456789abcdef0","protocol":"HTTP","port":80}}`)
	post("/targetgroups", `{"name":"instances","type":"INSTANCE","config":{"vpcIdentifier":"vpc-0123456789abcdef0","protocol":"HTTPS","port":443,"protocolVersion":"GRPC"}}`)
	function := post("/targetgroups", `{"name":"function","type":"LAMBDA","config":{"lambdaEventStructureVersion":"V2"}}`)
	post("/targetgroups/"+group+"/registertargets", `{"targets":[{"id":"10.0.0.1"},{"id":"10.0.0.2","port":8080},{"id":"10.0.0.3"}]}`)
	post("/targetgroups/"+function+"/registertargets", `{"targets":[{"id":"arn:aws:lambda:us-west-2:123456789012:function:hello"}]}`)
	listener := post("/services/"+service+"/listeners", `{"name":"http","protocol":"HTTP","defaultAction":{"fixedResponse":{"statusCode":404}}}`)
	post("/services/"+service+"/listeners", `{"name":"https","protocol":"HTTPS","defaultAction":{"forward":{"targetGroups":[{"targetGroupIdentifier":"`+function+`","weight":3}]}}}`)
	post("/services/"+service+"/listeners/"+listener+"/rules", `{"name":"get","priority":6,"match":{"httpMatch":{"method":"GET"}},"action":{"fixedResponse":{"statusCode":404}}}`)
	post("/services/"+service+"/listeners/"+listener+"/rules", `{"name":"all","priority":5,"match":{"httpMatch":{"method":"GET","pathMatch":{"match":{"prefix":"/a"},"caseSensitive":true},"headerMatches":[{"name":"x-a","match":{"exact":"1"}}]}},"action":{"forward":{"targetGroups":[{"targetGroupIdentifier":"`+group+`"}]}}}`)
	post("/servicenetworkserviceassociations", `{"serviceIdentifier":"`+service+`","serviceNetworkIdentifier":"`+network+`"}`)
	post("/servicenetworkvpcassociations", `{"vpcIdentifier":"vpc-0123456789abcdef1","serviceNetworkIdentifier":"`+network+`","securityGroupIds":["sg-0123456789abcdef0"]}`)
	post("/accesslogsubscriptions", `{"resourceIdentifier":"`+service+`","destinationArn":"arn:aws:logs:us-west-2:123456789012:log-group:a"}`)
	post("/accesslogsubscriptions", `{"resourceIdentifier":"`+network+`","destinationArn":"arn:aws:s3:::bucket-of-logs","serviceNetworkLogType":"RESOURCE"}`)
	gateway := post("/resourcegateways", `{"name":"gate","vpcIdentifier":"vpc-0123456789abcdef0","subnetIds":["subnet-0123456789abcdef0"]}`)
	configuration := post("/resourceconfigurations", `{"name":"database","type":"SINGLE","resourceGatewayIdentifier":"`+gateway+`","portRanges":["5432"],"resourceConfigurationDefinition":{"ipResource":{"ipAddress":"10.0.0.1"}}}`)
	bundle := post("/resourceconfigurations", `{"name":"group","type":"GROUP","resourceGatewayIdentifier":"`+gateway+`"}`)
	post("/resourceconfigurations", `{"name":"child","type":"CHILD","resourceConfigurationGroupIdentifier":"`+bundle+`","portRanges":["1-9","443"],"resourceConfigurationDefinition":{"dnsResource":{"domainName":"db.example.com","ipAddressType":"IPV4"}}}`)
	post("/servicenetworkresourceassociations", `{"serviceNetworkIdentifier":"`+network+`","resourceConfigurationIdentifier":"`+configuration+`"}`)
	post("/servicenetworkresourceassociations", `{"serviceNetworkIdentifier":"`+network+`","resourceConfigurationIdentifier":"`+bundle+`"}`)
	post("/domainverifications", `{"domainName":"example.com"}`)
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"%s","Resource":"arn:aws:vpc-lattice:us-west-2:123456789012:service/%s"}]}`
	quoted := func(action string) string {
		text, err := json.Marshal(map[string]string{"policy": fmt.Sprintf(policy, action, service)})
		if err != nil {
			w.t.Fatal(err)
		}
		return string(text)
	}
	w.call("PUT", "/authpolicy/"+service, quoted("vpc-lattice-svcs:Invoke"))
	w.call("PUT", "/resourcepolicy/arn:aws:vpc-lattice:us-west-2:123456789012:service%2F"+service, quoted("vpc-lattice:CreateServiceNetworkServiceAssociation"))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	endpoint := &lattice.ResourceEndpointAssociation{
		Base:                    lattice.Base{ID: lattice.NewID(lattice.KindResourceEndpointAssociation), Scope: here, CreatedAt: at, UpdatedAt: at},
		ResourceConfigurationID: configuration, VpcEndpointID: "vpce-0123456789abcdef0", VpcEndpointOwner: here.Account, AddressNumber: 90,
	}
	w.put(endpoint, &lattice.DetachedEndpoint{Scope: here, ResourceConfigurationID: configuration, VpcEndpointID: "vpce-0123456789abcdef1"},
		&lattice.Session{Account: here.Account, AccessKeyID: "ASIA1", SecretKey: "secret", Token: "token", ARN: "arn:aws:iam::123456789012:user/a", Expires: at})
}

func (w *world) put(records ...lattice.Record) {
	w.t.Helper()
	err := w.Catalog.Commit(w.t.Context(), func(tx *catalog.Tx) error {
		for _, rec := range records {
			tx.Put(rec)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// records returns what is stored, each kind in order of creation, and the kinds there are.
func (w *world) records(admit func(lattice.Kind) bool) (list []lattice.Record, kinds map[lattice.Kind]int) {
	kinds = map[lattice.Kind]int{}
	for _, stored := range w.Catalog.Records() {
		if kind := stored.Key().Kind; admit(kind) {
			list = append(list, stored.Record)
			kinds[kind]++
		}
	}
	return list, kinds
}

func byKey(list []lattice.Record) map[string]lattice.Record {
	records := map[string]lattice.Record{}
	for _, rec := range list {
		records[rec.Key().String()] = rec
	}
	return records
}

func anyKind(lattice.Kind) bool { return true }

func nothing(int, int) {}

func TestExportAndImportBringBackEveryRecordOfANetworkWithOneOfEverything(t *testing.T) {
	first, second := open(t), open(t)
	first.furnish()
	want, kinds := first.records(isExported)
	for _, kind := range lattice.Kinds() {
		passing := kind == lattice.KindToken || kind == lattice.KindSession // These records expire by themselves, and are not exported.
		switch {
		case isExported(kind) == passing:
			t.Errorf("that a %s is exported is %t", kind, isExported(kind))
		case kinds[kind] == 0 && !passing:
			t.Errorf("the network has no %s, so that this proves nothing about its kind", kind)
		}
	}
	text, err := first.Export(here)
	if err != nil {
		t.Fatal(err)
	}
	count, scope, err := second.Import(t.Context(), text, lattice.Scope{}, nothing)
	if err != nil || count != len(want) || scope != here {
		t.Fatalf("%d records of %d were imported for %s: %v\n%s", count, len(want), scope, err, text)
	}
	got, _ := second.records(anyKind)
	if diff := cmp.Diff(byKey(want), byKey(got)); diff != "" {
		t.Errorf("the records differ (-exported +imported):\n%s", diff)
	}
	again, err := second.Export(here)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), string(again)); diff != "" {
		t.Errorf("what is exported again differs:\n%s", diff)
	}
	// Records that are stored already are replaced by themselves.
	if _, _, err := second.Import(t.Context(), text, lattice.Scope{}, nothing); err != nil {
		t.Error(err)
	}
}

func TestBackupAndRestoreBringBackEverythingInOrder(t *testing.T) {
	first, second := open(t), open(t)
	first.furnish()
	want, kinds := first.records(anyKind)
	for _, kind := range lattice.Kinds() {
		if kinds[kind] == 0 {
			t.Errorf("the store has no %s, so that this proves nothing about its kind", kind)
		}
	}
	var file bytes.Buffer
	if err := first.Backup(&file); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	done := 0
	if _, err := second.Restore(t.Context(), bytes.NewReader(whole), func(n, _ int) { done = n }); err != nil {
		t.Fatal(err)
	}
	got, _ := second.records(anyKind)
	if diff := cmp.Diff(want, got); diff != "" || done != len(want) {
		t.Errorf("%d records of %d were restored (-backed up +restored):\n%s", done, len(want), diff)
	}
	var notEmpty *NotEmptyError
	if _, err := second.Restore(t.Context(), bytes.NewReader(whole), nothing); !errors.As(err, &notEmpty) {
		t.Errorf("restoring into a store that is not empty returns %v", err)
	}
	third := open(t)
	if _, err := third.Restore(t.Context(), bytes.NewReader(whole[:len(whole)-40]), nothing); err == nil || len(third.Catalog.Records()) > 0 {
		t.Errorf("a backup that was cut off is restored: %v", err)
	}
}

func TestANetworkMovesToAnotherAccountAndRegionWithItsARNs(t *testing.T) {
	first, second := open(t), open(t)
	first.furnish()
	text, err := first.Export(here)
	if err != nil {
		t.Fatal(err)
	}
	there := lattice.Scope{Account: "210987654321", Region: "eu-west-1"}
	if _, _, err := second.Import(t.Context(), text, there, nothing); err != nil {
		t.Fatal(err)
	}
	for _, stored := range second.Catalog.Records() {
		if stored.Key().Scope != there {
			t.Errorf("%s is not moved", stored.Key())
		}
		if p, ok := stored.Record.(*lattice.AuthPolicy); ok && !strings.Contains(p.Policy, "arn:aws:vpc-lattice:eu-west-1:210987654321:service/") {
			t.Errorf("the policy still names what it did: %s", p.Policy)
		}
	}
}

func TestResetDeletesOneAccountAlone(t *testing.T) {
	w := open(t)
	w.furnish()
	text, err := w.Export(here)
	if err != nil {
		t.Fatal(err)
	}
	other := lattice.Scope{Account: "210987654321", Region: "eu-west-1"}
	if _, _, err := w.Import(t.Context(), bytes.ReplaceAll(text, []byte("web.example.com"), []byte("other.example.com")), other, nothing); err != nil {
		t.Fatal(err)
	}
	left, _ := w.records(isExported)
	numbers := map[uint32]bool{}
	for _, rec := range left {
		if a, ok := rec.(*lattice.ServiceNetworkResourceAssociation); ok && a.AddressNumber != 0 {
			numbers[a.AddressNumber] = true
		}
	}
	if len(numbers) != 4 {
		t.Errorf("two resources of each of two accounts have the addresses %v", numbers)
	}
	deleted, err := w.Reset(t.Context(), here.Account)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := w.records(anyKind)
	if deleted <= len(got) || len(got) != len(left)/2 || slices.ContainsFunc(got, func(r lattice.Record) bool { return r.Key().Scope != other }) {
		t.Errorf("%d records are deleted and %d are left: %v", deleted, len(got), slices.Collect(func(yield func(lattice.Key) bool) {
			for _, r := range got {
				if !yield(r.Key()) {
					return
				}
			}
		}))
	}
}

// small is a network as a person would write it.
const small = `trellis: 1
account: "123456789012"
region: us-west-2
targetGroups:
  - id: tg-00000000000000001
    name: backends
    type: IP
    config: {protocol: HTTP, port: 8080, vpcIdentifier: vpc-0123456789abcdef0}
targets:
  - targetGroupId: tg-00000000000000001
    members:
      - id: 10.0.0.7
      - {id: localhost, port: 9000}
services:
  - {id: svc-00000000000000001, name: shop}
rules:
  - id: rule-00000000000000001
    name: default
    serviceId: svc-00000000000000001
    listenerId: listener-00000000000000001
    isDefault: true
    action: {forward: {targetGroups: [{targetGroupIdentifier: tg-00000000000000001}]}}
listeners:
  - {id: listener-00000000000000001, serviceId: svc-00000000000000001, name: http, protocol: HTTP, defaultRuleId: rule-00000000000000001}
`

func TestADocumentWrittenByHandNeedsOnlyWhatHasNoDefault(t *testing.T) {
	w := open(t)
	w.Addresses.Local = true
	if _, _, err := w.Import(t.Context(), []byte(small), lattice.Scope{}, nothing); err != nil {
		t.Fatal(err)
	}
	w.Catalog.Read(func(v catalog.View) {
		targets, _ := catalog.Get[*lattice.Targets](v, lattice.TargetsKey(here, "tg-00000000000000001"))
		var got []string
		for _, m := range targets.Members {
			got = append(got, fmt.Sprint(m.ID, ":", m.Port))
		}
		if want := []string{"10.0.0.7:8080", "127.0.0.1:9000"}; !slices.Equal(got, want) {
			t.Errorf("the targets are %v, want %v", got, want)
		}
		service, _ := catalog.Get[*lattice.Service](v, lattice.ServiceKey(here, "svc-00000000000000001"))
		if !strings.HasPrefix(service.DomainName, "shop-00000000000000001.") || service.AuthType != shape.AuthTypeNone {
			t.Errorf("the service is %+v", service)
		}
	})
}

// orphan is a child whose group is not a group.
const orphan = `trellis: 1
account: "123456789012"
region: us-west-2
resourceConfigurations:
  - {id: rcfg-00000000000000001, name: child, type: CHILD, groupId: rcfg-00000000000000001, portRanges: ["1"], definition: {ipResource: {ipAddress: 10.0.0.1}}}
`

func TestWhatIsWrongWithADocumentIsNamedAndNothingOfItIsStored(t *testing.T) {
	w := open(t)
	for _, c := range []struct{ old, new, problem string }{
		{"trellis: 1", "trellis: 2", "trellis is 2; it must be 1"},
		{`account: "123456789012"`, `account: "12"`, `account is "12"; it must have 12 digits`},
		{"region: us-west-2", "region: nowhere", `region is "nowhere"`},
		{"services:", "servces:", `there is no section "servces"`},
		{"name: shop", "name: Shop", "services[0]: "},
		{"name: shop", "name: shop, colour: red", `services[0]: json: unknown field "colour"`},
		{"id: svc-00000000000000001, name", "id: tg-00000000000000001, name", `services[0]: id is "tg-00000000000000001"`},
		{"type: IP", "type: IPX", "targetGroups[0]: "},
		{"port: 8080, vpcIdentifier: vpc-0123456789abcdef0", "port: 8080", "targetGroups[0]: "},
		{"id: 10.0.0.7", "id: 8.8.8.8", "targets[0]: the target 8.8.8.8: "},
		{"id: 10.0.0.7", "id: no.such.name.invalid", `targets[0]: the target "no.such.name.invalid" is neither an address nor a name`},
		{"{targetGroupIdentifier: tg-00000000000000001}", "{targetGroupIdentifier: tg-00000000000000002}", "rules[0]: it refers to targetgroup tg-00000000000000002"},
		{"defaultRuleId: rule-00000000000000001", "defaultRuleId: rule-00000000000000009", "listeners[0]: it refers to rule"},
		{"protocol: HTTP, defaultRuleId", "protocol: TLS_PASSTHROUGH, defaultRuleId", "rules[0]: A TLS_PASSTHROUGH listener forwards"},
		{"    isDefault: true\n", "", "rules[0]: "},
		{"    action: {forward", "    axtion: {forward", "rules[0]: "},
		{small, "a: [", "reading the document"},
		{small, orphan, `resourceConfigurations[0]: groupId is "rcfg-00000000000000001"; a child needs that of a group`},
		{"members:\n", "members:\n      - null\n", "targets[0]: a target is null"},
	} {
		text := strings.Replace(small, c.old, c.new, 1)
		_, _, err := w.Import(context.WithoutCancel(t.Context()), []byte(text), lattice.Scope{}, nothing)
		var wrong *DocumentError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.problem) {
			t.Errorf("with %q: %v, want %q", c.new, err, c.problem)
		}
	}
	if n := len(w.Catalog.Records()); n > 0 {
		t.Errorf("%d records are stored", n)
	}
}

func TestNameOfAnotherRecordIsReportedWithItsHolder(t *testing.T) {
	w := open(t)
	w.Addresses.Local = true
	holder := w.call("POST", "/services", `{"name":"shop"}`)
	_, _, err := w.Import(t.Context(), []byte(small), lattice.Scope{}, nothing)
	if err == nil || !strings.Contains(err.Error(), `the name "shop" belongs to another record, service `+holder+",") {
		t.Errorf("the error is %v", err)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(orphan))
	f.Add([]byte("trellis: 1\naccount: '000000000000'\nregion: us-west-2\nrules: [{}]\nlisteners: [{id: 1}]\n"))
	c, err := catalog.Open(context.Background(), catalog.Config{Ephemeral: true, DataDir: f.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = c.Close() })
	s := New(Config{Catalog: c, Domain: "localhost"})
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := decode(text, lattice.Scope{})
		if err != nil {
			return
		}
		d.entries = slices.DeleteFunc(d.entries, func(e entry) bool { return e.kind == lattice.KindTarget }) // Names would be looked up.
		records, err := s.check(t.Context(), d)
		if err != nil {
			return
		}
		if _, err := encode(d.scope, records); err != nil {
			t.Error(err)
		}
	})
}
