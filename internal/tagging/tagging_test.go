package tagging

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trellis/internal/api"
	"trellis/internal/catalog"
	"trellis/internal/lattice"
)

var scope = lattice.Scope{Account: "111122223333", Region: "us-west-2"}

// anybody is an Authenticator that lets everybody in.
type anybody struct{}

func (anybody) Authenticate(*http.Request, func() ([]byte, error)) (api.Caller, error) {
	return api.Caller{Account: scope.Account, Region: scope.Region}, nil
}

// open returns a handler over a catalog with some services.
func open(t *testing.T, limits api.Limits, services ...*lattice.Service) http.Handler {
	t.Helper()
	c, err := catalog.Open(t.Context(), catalog.Config{
		DataDir: t.TempDir(), Ephemeral: true, Apply: func([]lattice.Change) {}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	for some := range slices.Chunk(services, 20) {
		err := c.Commit(context.Background(), func(tx *catalog.Tx) error {
			for _, s := range some {
				tx.Put(s)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return NewHandler(Config{Catalog: c, Authenticator: anybody{}, Throttle: api.NewThrottle(limits), Log: slog.New(slog.DiscardHandler)})
}

func service(scope lattice.Scope, number int, tags map[string]string) *lattice.Service {
	name := fmt.Sprintf("svc-%017d", number)
	return &lattice.Service{Base: lattice.Base{ID: name, Name: name, Scope: scope, Tags: tags}}
}

// ask performs an operation and decodes its response.
func ask[Out any](t *testing.T, h http.Handler, operation, body string) (int, Out) {
	t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", target+operation)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var out Out
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, out
}

func TestKeysAndValuesComeInPages(t *testing.T) {
	var services []*lattice.Service
	for i := range 44 { // 2,200 keys, and one that all have.
		tags := map[string]string{"number": fmt.Sprint(i)}
		for k := range 50 {
			tags[fmt.Sprintf("key-%d-%d", i, k)] = ""
		}
		services = append(services, service(scope, i, tags))
	}
	h := open(t, api.Limits{}, services...)
	var keys []string
	token, pages := "", 0
	for {
		_, out := ask[getTagKeysOutput](t, h, "GetTagKeys", fmt.Sprintf(`{"PaginationToken": %q}`, token))
		keys = append(keys, out.TagKeys...)
		pages++
		if token = out.PaginationToken; token == "" {
			break
		}
	}
	if len(keys) != 2201 || pages != 3 || !slices.IsSorted(keys) || len(slices.Compact(keys)) != 2201 {
		t.Errorf("there are %d keys on %d pages", len(keys), pages)
	}
	if _, out := ask[getTagValuesOutput](t, h, "GetTagValues", `{"Key": "number"}`); len(out.TagValues) != 44 {
		t.Errorf("there are %d values", len(out.TagValues))
	}
}

func TestNothingOfAnotherScopeIsFound(t *testing.T) {
	other := lattice.Scope{Account: "444455556666", Region: scope.Region}
	foreign := service(other, 1, map[string]string{"a": "b"})
	h := open(t, api.Limits{}, foreign, service(lattice.Scope{Account: scope.Account, Region: "eu-west-1"}, 2, map[string]string{"a": "b"}))
	for _, body := range []string{`{}`, ``, fmt.Sprintf(`{"ResourceARNList": [%q]}`, foreign.ARN())} {
		if status, out := ask[getResourcesOutput](t, h, "GetResources", body); status != 200 || len(out.ResourceTagMappingList) > 0 {
			t.Errorf("%q: %d %v", body, status, out)
		}
	}
	if _, out := ask[getTagKeysOutput](t, h, "GetTagKeys", `{}`); len(out.TagKeys) > 0 {
		t.Errorf("the keys are %v", out.TagKeys)
	}
}

func TestTokenAnswersItsOwnQuestionOnly(t *testing.T) {
	tags := map[string]string{"a": "b"}
	h := open(t, api.Limits{}, service(scope, 1, tags), service(scope, 2, tags))
	_, first := ask[getResourcesOutput](t, h, "GetResources", `{"ResourcesPerPage": 1}`)
	if first.PaginationToken == "" {
		t.Fatal("there is no second page")
	}
	status, refused := ask[refusal](t, h, "GetResources", fmt.Sprintf(`{"PaginationToken": %q, "TagFilters": [{"Key": "a"}]}`, first.PaginationToken))
	if status != 400 || refused.Code != "InvalidParameterException" {
		t.Errorf("the token with another question is answered %d %v, want 400 InvalidParameterException", status, refused)
	}
}

func TestErrorsHaveTheNamesOfThisAPI(t *testing.T) {
	h := open(t, api.Limits{Rate: 0.001, Burst: 4})
	for _, test := range []struct{ operation, body, code string }{
		{"GetResources", `{"TagFilters": {}}`, "SerializationException"},
		{"GetResources", strings.Repeat(" ", maxBodyBytes+1), "SerializationException"},
		{"GetResources", `{"TagFilters": [{"Values": ["a"]}]}`, "InvalidParameterException"},
		{"GetTagValues", `{}`, "InvalidParameterException"},
		{"GetResources", `{}`, "ThrottledException"},
		{"DescribeReportCreation", `{}`, "UnknownOperationException"},
	} {
		if status, refused := ask[refusal](t, h, test.operation, test.body); status != 400 || refused.Code != test.code || refused.Message == "" {
			t.Errorf("%s %.40s: %d %v, want %s", test.operation, test.body, status, refused, test.code)
		}
	}
}

// A page must not be empty, nor hold more tags than it may.
func TestTagsPerPageBoundsAPage(t *testing.T) {
	var services []*lattice.Service
	for i := range 5 {
		tags := map[string]string{}
		for k := range 45 {
			tags[fmt.Sprint(k)] = time.Duration(i).String()
		}
		services = append(services, service(scope, i, tags))
	}
	h := open(t, api.Limits{}, services...)
	var sizes []int
	for token := ""; ; {
		_, out := ask[getResourcesOutput](t, h, "GetResources", fmt.Sprintf(`{"TagsPerPage": 100, "PaginationToken": %q}`, token))
		sizes = append(sizes, len(out.ResourceTagMappingList))
		if token = out.PaginationToken; token == "" {
			break
		}
	}
	if !slices.Equal(sizes, []int{2, 2, 1}) {
		t.Errorf("the pages have %v resources, want 2, 2 and 1", sizes)
	}
}
