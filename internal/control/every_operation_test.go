package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/internal/api"
	"trellis/internal/api/apitest"
	"trellis/internal/api/bounds"
	"trellis/internal/catalog"
	"trellis/internal/control"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// everything is a handler over the real operations with a catalog of its own, for requests to all operations. Each test that
// needs a clean start takes another account.
type everything struct {
	handler http.Handler
	account atomic.Int64
}

func openEverything(tb testing.TB) *everything {
	tb.Helper()
	c, err := catalog.Open(tb.Context(), catalog.Config{
		DataDir: tb.TempDir(), Ephemeral: true, Apply: func([]lattice.Change) {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatal(err)
	}
	operations := control.New(control.Config{
		Catalog: c, Health: silent{}, Resolver: silent{}, Domain: "localhost", DeregistrationDelay: time.Minute, Log: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- operations.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	e := &everything{}
	e.handler = api.NewHandler(api.Config{Operations: operations, Authenticator: e, Log: slog.New(failing{tb})})
	return e
}

// Authenticate accepts everybody, as the current account.
func (e *everything) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: fmt.Sprintf("%012d", e.account.Load()), Region: "us-west-2", Principal: "arn:aws:iam::123456789012:root"}, nil
}

func (e *everything) send(tb testing.TB, request apitest.Request) *httptest.ResponseRecorder {
	tb.Helper()
	r, err := request.HTTP("http://lattice.test")
	if err != nil {
		tb.Skip(err) // A request that no client could send either.
	}
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	return w
}

// silent stands for the outside world, and knows nothing.
type silent struct{}

func (silent) Status(*lattice.Target) (shape.TargetStatus, string) {
	return shape.TargetStatusUnused, "TargetGroupNotInUse"
}

func (silent) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// failing is the log of a handler that must not warn of anything: what it logs explains a status of 500.
type failing struct{ tb testing.TB }

func (f failing) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (f failing) WithAttrs([]slog.Attr) slog.Handler               { return f }
func (f failing) WithGroup(string) slog.Handler                    { return f }
func (f failing) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool { fmt.Fprintf(f.tb.Output(), "%s: %v\n", a.Key, a.Value); return true })
	return nil
}

func TestEveryConstraintOfEveryOperationIsEnforced(t *testing.T) {
	e := openEverything(t)
	for _, op := range bounds.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			cases := apitest.Violations(op)
			for _, c := range cases {
				w := e.send(t, c.Request)
				var answer shape.ValidationException
				if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusBadRequest || w.Header().Get("X-Amzn-ErrorType") != "ValidationException" {
					t.Errorf("%s: %s %s: answered %d %s", c.Name, c.Request.Target, c.Request.Body, w.Code, w.Body)
					continue
				}
				if answer.Reason != shape.ValidationExceptionReasonFieldValidationFailed || len(answer.FieldList) != 1 || *answer.FieldList[0].Name != c.Field {
					t.Errorf("%s: the fields named are not %s alone: %s", c.Name, c.Field, w.Body)
				}
			}
			if len(cases) == 0 && len(op.Constraints()) > 1 {
				t.Errorf("none of %d constraints is tried", len(op.Constraints()))
			}
		})
	}
}

func TestEveryOperationExistsAndAcceptsWhatTheModelAllows(t *testing.T) {
	e := openEverything(t)
	for _, op := range bounds.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			cases := append(apitest.Allowed(op), apitest.Case{Name: "required members only", Request: apitest.Valid(op)}, apitest.Case{Name: "all members", Request: apitest.Full(op)})
			for _, c := range cases {
				if w := e.send(t, c.Request); w.Code >= http.StatusInternalServerError {
					t.Errorf("%s: %s %s: answered %d %s", c.Name, c.Request.Target, c.Request.Body, w.Code, w.Body)
				}
			}
		})
	}
}

// creation is a request that creates something.
type creation struct{ operation, target, body string }

// create sends requests at once, so that the catalog stores what they create in one transaction. It returns the ids in the
// order of creations, in which random learns them too.
func (e *everything) create(tb testing.TB, random *apitest.Random, creations ...creation) []string {
	tb.Helper()
	requests := make([]apitest.Request, len(creations))
	answers := make([]*httptest.ResponseRecorder, len(creations))
	var sending sync.WaitGroup
	for i, c := range creations {
		requests[i] = apitest.Request{Method: http.MethodPost, Target: c.target, Body: []byte(c.body)}
		sending.Go(func() { answers[i] = e.send(tb, requests[i]) })
	}
	sending.Wait()
	ids := make([]string, len(creations))
	for i, c := range creations {
		w := answers[i]
		var created struct{ ID string }
		if err := json.Unmarshal(w.Body.Bytes(), &created); err != nil || w.Code >= http.StatusMultipleChoices {
			tb.Fatalf("%s %s is answered %d %s", c.target, c.body, w.Code, w.Body)
		}
		random.Learn(c.operation, requests[i], w.Body.Bytes())
		ids[i] = created.ID
	}
	return ids
}

// furnish creates a resource of each kind, so that random requests find something.
func (e *everything) furnish(tb testing.TB, random *apitest.Random) {
	tb.Helper()
	ids := e.create(tb, random,
		creation{"CreateService", "/services", `{"name":"web"}`},
		creation{"CreateServiceNetwork", "/servicenetworks", `{"name":"net"}`},
		creation{"CreateTargetGroup", "/targetgroups", `{"name":"blue","type":"IP","config":{"vpcIdentifier":"vpc-0123456789abcdef0","protocol":"HTTP","port":80}}`},
		creation{"CreateResourceGateway", "/resourcegateways", `{"name":"gate","vpcIdentifier":"vpc-0123456789abcdef0","subnetIds":["subnet-0123456789abcdef0"]}`},
		creation{"CreateTargetGroup", "/targetgroups", `{"name":"function","type":"LAMBDA"}`},
		creation{"StartDomainVerification", "/domainverifications", `{"domainName":"example.com"}`},
	)
	service, network, group, gateway := ids[0], ids[1], ids[2], ids[3]
	ids = e.create(tb, random,
		creation{"CreateListener", "/services/" + service + "/listeners", `{"name":"http","protocol":"HTTP","defaultAction":{"fixedResponse":{"statusCode":404}}}`},
		creation{"CreateResourceConfiguration", "/resourceconfigurations", `{"name":"database","type":"SINGLE","resourceGatewayIdentifier":"` + gateway + `","portRanges":["5432"],"resourceConfigurationDefinition":{"ipResource":{"ipAddress":"10.0.0.1"}}}`},
		creation{"CreateResourceConfiguration", "/resourceconfigurations", `{"name":"group","type":"GROUP","resourceGatewayIdentifier":"` + gateway + `"}`},
		creation{"CreateServiceNetworkServiceAssociation", "/servicenetworkserviceassociations", `{"serviceIdentifier":"` + service + `","serviceNetworkIdentifier":"` + network + `"}`},
		creation{"CreateServiceNetworkVpcAssociation", "/servicenetworkvpcassociations", `{"vpcIdentifier":"vpc-0123456789abcdef1","serviceNetworkIdentifier":"` + network + `"}`},
		creation{"CreateAccessLogSubscription", "/accesslogsubscriptions", `{"resourceIdentifier":"` + service + `","destinationArn":"arn:aws:logs:us-west-2:123456789012:log-group:a"}`},
	)
	listener, configuration := ids[0], ids[1]
	e.create(tb, random,
		creation{"CreateRule", "/services/" + service + "/listeners/" + listener + "/rules",
			`{"name":"all","priority":5,"match":{"httpMatch":{"method":"GET"}},"action":{"forward":{"targetGroups":[{"targetGroupIdentifier":"` + group + `"}]}}}`},
		creation{"CreateServiceNetworkResourceAssociation", "/servicenetworkresourceassociations", `{"serviceNetworkIdentifier":"` + network + `","resourceConfigurationIdentifier":"` + configuration + `"}`},
	)
}

// play sends random requests in its own account, and counts those that succeed by operation. It returns what made them.
func (e *everything) play(tb testing.TB, seed uint64, requests int, succeeded map[string]int) *apitest.Random {
	tb.Helper()
	e.account.Add(1)
	operations := bounds.Operations()
	random := apitest.NewRandom(seed)
	e.furnish(tb, random)
	for range requests {
		op := random.Operation(operations)
		request := random.Request(op)
		w := e.send(tb, request)
		switch {
		case w.Code >= http.StatusInternalServerError:
			tb.Fatalf("%s %s %s\nis answered %d %s", request.Method, request.Target, request.Body, w.Code, w.Body)
		case w.Code < http.StatusMultipleChoices:
			random.Learn(op.Name, request, w.Body.Bytes())
			if succeeded != nil {
				succeeded[op.Name]++
			}
		}
	}
	return random
}

// The fuzz target is worth something only if its requests get beyond the checks of the input. Some operations succeed
// for one request in hundreds.
func TestRandomRequestsReachTheOperations(t *testing.T) {
	e := openEverything(t)
	succeeded := map[string]int{}
	var missing []string
	for seed := range uint64(200) {
		e.play(t, seed, 150, succeeded)
		missing = nil
		for _, op := range bounds.Operations() {
			// Endpoints come from the inventory, which is empty here.
			if succeeded[op.Name] == 0 && op.Name != "DeleteResourceEndpointAssociation" {
				missing = append(missing, op.Name)
			}
		}
		if missing == nil {
			return
		}
	}
	t.Errorf("these operations never succeed: %v", missing)
}

// FuzzEveryOperation sends random requests, and damaged ones, and wants neither a 500 nor a panic. The fuzzer chooses only
// numbers: it would spend minutes on minimizing a body, because the store's background work makes every run look new to
// it. For the same reason scripts/fuzz.sh runs it without coverage. Most faults need few requests: many short executions
// find more than few long ones.
func FuzzEveryOperation(f *testing.F) {
	operations := bounds.Operations()
	for i := range operations {
		f.Add(uint64(i), uint8(10), uint8(i))
	}
	const most = 32
	e := openEverything(f)
	f.Fuzz(func(t *testing.T, seed uint64, requests, operation uint8) {
		random := e.play(t, seed, int(requests)%(most+1), nil)
		for range 10 {
			request := random.Mangle(random.Request(operations[int(operation)%len(operations)]))
			if w := e.send(t, request); w.Code >= http.StatusInternalServerError {
				t.Fatalf("%s %s %s\nis answered %d %s", request.Method, request.Target, request.Body, w.Code, w.Body)
			}
		}
	})
}
