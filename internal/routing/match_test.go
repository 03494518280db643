package routing

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"trellis/internal/shape"
)

// reference says, as naively as can be, whether a match of the API holds for a request.
func reference(m *shape.HttpMatch, method, path string, headers lines) bool {
	compare := func(caseSensitive bool, text, exact, prefix, contains *string) bool {
		fold := func(s string) string { return s }
		if !caseSensitive {
			fold = asciiLower
		}
		switch {
		case exact != nil:
			return fold(*text) == fold(*exact)
		case prefix != nil:
			return strings.HasPrefix(fold(*text), fold(*prefix))
		default:
			return strings.Contains(fold(*text), fold(*contains))
		}
	}
	if m.Method != nil && *m.Method != "" && *m.Method != method {
		return false
	}
	if p := m.PathMatch; p != nil && !compare(p.CaseSensitive == nil || *p.CaseSensitive, &path, p.Match.Exact, p.Match.Prefix, nil) {
		return false
	}
	for _, h := range m.HeaderMatches {
		if !slices.ContainsFunc(headers, func(line [2]string) bool {
			return asciiLower(line[0]) == asciiLower(*h.Name) &&
				compare(h.CaseSensitive != nil && *h.CaseSensitive, &line[1], h.Match.Exact, h.Match.Prefix, h.Match.Contains)
		}) {
			return false
		}
	}
	return true
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 32
		}
		return r
	}, s)
}

// choices makes values out of bytes, so that both a random source and the fuzzer can drive it.
type choices []byte

func (c *choices) next(n int) int {
	if len(*c) == 0 {
		return 0
	}
	v := int((*c)[0]) % n
	*c = (*c)[1:]
	return v
}

func (c *choices) text(from string, longest int) string {
	var b strings.Builder
	for range c.next(longest + 1) {
		b.WriteByte(from[c.next(len(from))])
	}
	return b.String()
}

func (c *choices) caseSensitive() *bool { return []*bool{nil, new(false), new(true)}[c.next(3)] }

func (c *choices) match() *shape.HttpMatch {
	m := &shape.HttpMatch{}
	if c.next(2) == 0 {
		m.Method = new([]string{"", "GET", "get", "POST"}[c.next(4)])
	}
	if path := "/" + c.text("aAb/", 3); c.next(2) == 0 {
		m.PathMatch = &shape.PathMatch{CaseSensitive: c.caseSensitive(), Match: &shape.PathMatchType{}}
		if c.next(2) == 0 {
			m.PathMatch.Match.Exact = &path
		} else {
			m.PathMatch.Match.Prefix = &path
		}
	}
	for range c.next(3) {
		value := c.text("aAb", 3)
		h := shape.HeaderMatch{Name: new([]string{"x", "X", "y"}[c.next(3)]), CaseSensitive: c.caseSensitive(), Match: &shape.HeaderMatchType{}}
		switch c.next(3) {
		case 0:
			h.Match.Exact = &value
		case 1:
			h.Match.Prefix = &value
		case 2:
			h.Match.Contains = &value
		}
		m.HeaderMatches = append(m.HeaderMatches, h)
	}
	return m
}

func (c *choices) headers() lines {
	var headers lines
	for range c.next(4) {
		headers = append(headers, [2]string{[]string{"x", "X", "Y"}[c.next(3)], c.text("aAb", 4)})
	}
	return headers
}

// agree compares the rule that a compiled service chooses with the reference's, and with what Explain says.
func agree(t *testing.T, c choices) {
	w := newWorld(t)
	w.put(w.network("sn-1"), w.service("svc-1"), w.association("svc-1", "sn-1"),
		w.listener("svc-1", "listener-1", shape.ListenerProtocolHttp, 80), w.defaultRule("svc-1", "listener-1", fixed(404)))
	matches := make([]*shape.HttpMatch, 1+c.next(5))
	for i := range matches {
		matches[i] = c.match()
		w.put(w.rule("svc-1", "listener-1", string(rune('a'+i)), int32(i+1), matches[i], fixed(500)))
	}
	for range 4 {
		method, path, headers := []string{"GET", "POST"}[c.next(2)], "/"+c.text("aAb/", 4), c.headers()
		want := "rule-default"
		for i, m := range matches {
			if reference(m, method, path, headers) {
				want = string(rune('a' + i))
				break
			}
		}
		request := &Request{Method: []byte(method), Path: []byte(path), Headers: headers}
		s := w.lookup(80, "svc-1.lattice.test")
		if got := s.Route(request).ID; got != want {
			t.Errorf("%s %s %q is routed by %s, want %s; the rules: %+v", method, path, headers, got, want, s.table().Rules)
		}
		explained := w.Explain(80, "svc-1.lattice.test", &Arrival{Request: request}).Rules
		for i, rule := range explained {
			if last := i == len(explained)-1; rule.Matched != last || (rule.Mismatch == "") != last {
				t.Errorf("%s %s %q: explained as %+v", method, path, headers, explained)
			}
		}
		if last := explained[len(explained)-1].ARN; !strings.HasSuffix(last, "/"+want) {
			t.Errorf("%s %s %q: explained by %s, want %s", method, path, headers, last, want)
		}
	}
}

func TestMatchAgreesWithTheReference(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		c := make(choices, 150)
		for i := range c {
			c[i] = byte(random.Uint32())
		}
		agree(t, c)
		if t.Failed() {
			return
		}
	}
}

func FuzzMatchAgreesWithTheReference(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a rule by path, a rule by header and then a request that neither of them matches"))
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
