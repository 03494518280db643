package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"trellis/internal/api/bounds"
)

// Request is a request to an operation, without host and signature.
type Request struct {
	Method string
	// Target is the escaped path and the query string.
	Target string
	// Body is JSON; nil means none.
	Body []byte
}

// HTTP returns the request as it is sent to a server at baseURL, such as http://127.0.0.1:7600.
func (r Request) HTTP(baseURL string) (*http.Request, error) {
	req, err := http.NewRequest(r.Method, baseURL+r.Target, bytes.NewReader(r.Body))
	if err != nil {
		return nil, fmt.Errorf("making the request %s %s: %w", r.Method, r.Target, err)
	}
	req.Header.Set("Content-Type", "application/json")
	return req, nil
}

// Valid returns the smallest valid request of an operation: it has the required members only.
func Valid(op bounds.Operation) Request { return assemble(op, minimal(op.Input).(object)) }

// Full returns a valid request with every member; of a union, with the first one.
func Full(op bounds.Operation) Request { return assemble(op, full(op.Input).(object)) }

// object is a structure, a union or a map as JSON.
type object = map[string]any

// absent stands for a member that is left out.
type absent struct{}

// assemble puts each member of an input where its location says.
func assemble(op bounds.Operation, input object) Request {
	path := op.URI
	query := url.Values{}
	body := maps.Clone(input)
	for _, m := range op.Input.Members {
		v := input[m.Name]
		switch m.Location {
		case bounds.Path:
			path = strings.Replace(path, "{"+m.Name+"}", escape(fmt.Sprint(v)), 1)
			delete(body, m.Name)
		case bounds.Query:
			delete(body, m.Name)
			switch v := v.(type) {
			case nil:
			case []any:
				for _, e := range v {
					query.Add(m.Name, fmt.Sprint(e))
				}
			default:
				query.Set(m.Name, fmt.Sprint(v))
			}
		}
	}
	r := Request{Method: op.Method, Target: path}
	if len(query) > 0 {
		r.Target += "?" + query.Encode()
	}
	if op.Method != http.MethodGet && op.Method != http.MethodDelete {
		r.Body = mustMarshal(body)
	}
	return r
}

// escape escapes a label as SDKs do, which leave neither a colon nor a slash.
func escape(label string) string {
	return strings.ReplaceAll(url.PathEscape(label), ":", "%3A")
}

func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("a tree of maps, lists and scalars cannot be marshalled: %v", err))
	}
	return b
}

// minimal returns a valid value with as little in it as possible.
func minimal(s *bounds.Shape) any {
	switch s.Type {
	case bounds.Structure:
		o := object{}
		for i, m := range s.Members {
			if m.Required || s.Union && i == 0 {
				o[m.Name] = minimal(m.Shape)
			}
		}
		return o
	case bounds.List:
		return repeat(minimal(s.Element), max(1, lowest(s))) // An empty list cannot be told from none in a query.
	case bounds.Map:
		return object{}
	case bounds.Integer:
		return lowest(s)
	case bounds.Boolean:
		return true
	}
	return text(s)
}

// full returns a valid value with everything in it.
func full(s *bounds.Shape) any {
	switch s.Type {
	case bounds.Structure:
		o := object{}
		for _, m := range s.Members {
			o[m.Name] = full(m.Shape)
			if s.Union {
				break
			}
		}
		return o
	case bounds.List:
		return []any{full(s.Element)}
	case bounds.Map:
		return object{text(s.Key): full(s.Value)}
	}
	return minimal(s)
}

// with returns a minimal valid value after change was applied to the part that path leads to.
func with(s *bounds.Shape, path []bounds.Step, change func(valid any) any) any {
	if len(path) == 0 {
		return change(minimal(s))
	}
	step, rest := path[0], path[1:]
	switch step.Into {
	case bounds.IntoElement:
		list := repeat(minimal(s.Element), max(1, lowest(s)))
		list[0] = with(s.Element, rest, change)
		return list
	case bounds.IntoKey:
		key, _ := change(text(s.Key)).(string)
		return object{key: minimal(s.Value)}
	case bounds.IntoValue:
		return object{text(s.Key): with(s.Value, rest, change)}
	}
	o := minimal(s).(object)
	if s.Union {
		clear(o)
	}
	for _, m := range s.Members {
		if m.Name != step.Member {
			continue
		}
		o[m.Name] = with(m.Shape, rest, change)
		if o[m.Name] == (absent{}) {
			delete(o, m.Name)
		}
	}
	return o
}

func repeat(v any, n int64) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func lowest(s *bounds.Shape) int64 {
	if s.Min == nil {
		return 0
	}
	return *s.Min
}
