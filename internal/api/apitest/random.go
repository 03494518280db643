package apitest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"

	"trellis/internal/api/bounds"
)

// Random makes requests that nobody would write by hand. Most values in them are valid, so that they get past the checks of
// the model; some are at its bounds, and some have nothing to do with it. It learns from success: it uses the identifiers in
// responses, and makes some requests that differ from earlier ones in one member only. The same seed and the same responses
// give the same requests.
type Random struct {
	r *rand.Rand
	// known are the ids and ARNs that were learned, by what stands before the first dash of the id.
	known map[string][]string
	// bodies are those of requests that succeeded, by operation.
	bodies map[string][][]byte
}

// NewRandom returns a Random that has learned nothing yet.
func NewRandom(seed uint64) *Random {
	return &Random{rand.New(rand.NewPCG(seed, 0)), map[string][]string{}, map[string][][]byte{}}
}

// Operation chooses one of the operations; creations come up as often as all others.
func (r *Random) Operation(operations []bounds.Operation) bounds.Operation {
	chosen := operations[r.r.IntN(len(operations))]
	if r.r.IntN(2) == 0 {
		creations := slices.DeleteFunc(slices.Clone(operations), func(op bounds.Operation) bool {
			return !strings.HasPrefix(op.Name, "Create") && !strings.HasPrefix(op.Name, "Start")
		})
		chosen = creations[r.r.IntN(len(creations))]
	}
	return chosen
}

// Request returns a request to an operation.
func (r *Random) Request(op bounds.Operation) Request {
	input, _ := r.structure(op.Input).(object)
	if bodies := r.bodies[op.Name]; len(bodies) > 0 && r.oneIn(3) {
		r.resemble(op, bodies[r.r.IntN(len(bodies))], input)
	}
	if !r.oneIn(10) {
		r.nest(op, input)
	}
	for _, m := range op.Input.Members {
		// Without its labels the path would be another one.
		if _, given := input[m.Name].(string); m.Location == bounds.Path && (!given || input[m.Name] == "") {
			input[m.Name] = text(m.Shape)
		}
	}
	return assemble(op, input)
}

// nest makes the labels of a path fit together: those before the last are the parents in the ARN of one that is known.
func (r *Random) nest(op bounds.Operation, input object) {
	label, _, _ := strings.Cut(op.URI[strings.LastIndexByte(op.URI, '{')+1:], "}")
	for _, prefix := range []string{"rule", "listener"} {
		arns := slices.DeleteFunc(slices.Clone(r.known[prefix]), func(s string) bool { return !strings.HasPrefix(s, "arn:") })
		if label != prefix+"Identifier" || len(arns) == 0 {
			continue
		}
		parts := strings.Split(arns[r.r.IntN(len(arns))], "/")
		for i, name := range []string{"serviceIdentifier", "listenerIdentifier", "ruleIdentifier"} {
			if 2*i+1 < len(parts) {
				input[name] = parts[2*i+1]
			}
		}
	}
}

// resemble gives an input the members of a body, except one or two.
func (r *Random) resemble(op bounds.Operation, body []byte, input object) {
	var members object
	if json.Unmarshal(body, &members) != nil {
		return
	}
	var others []string
	for _, m := range op.Input.Members {
		if m.Location == bounds.Body {
			others = append(others, m.Name)
		}
	}
	if len(others) == 0 {
		return
	}
	changed := others[r.r.IntN(len(others))]
	for _, name := range others {
		value, given := members[name]
		switch {
		case name == changed, name == "clientToken", name == "name" && r.oneIn(2):
			// unchanged
		case given:
			input[name] = value
		default:
			delete(input, name)
		}
	}
}

// Learn remembers a request to an operation that succeeded, and the ids and ARNs in its response.
func (r *Random) Learn(operation string, request Request, answer []byte) {
	if len(r.bodies[operation]) < 20 {
		r.bodies[operation] = append(r.bodies[operation], request.Body)
	}
	var tree any
	if json.Unmarshal(answer, &tree) == nil {
		r.learn(tree)
	}
}

func (r *Random) learn(v any) {
	switch v := v.(type) {
	case map[string]any:
		// In an order that is always the same.
		for _, name := range []string{"id", "arn"} {
			if s, ok := v[name].(string); ok {
				id := s[strings.LastIndexByte(s, '/')+1:]
				if prefix, _, found := strings.Cut(id, "-"); found && len(r.known[prefix]) < 50 && !slices.Contains(r.known[prefix], s) {
					r.known[prefix] = append(r.known[prefix], s)
				}
			}
		}
	case []any:
		for _, e := range v {
			r.learn(e)
		}
	}
}

// oneIn is true once in n times.
func (r *Random) oneIn(n int) bool { return r.r.IntN(n) == 0 }

// value returns a value for a member, or sometimes something else.
func (r *Random) value(name string, s *bounds.Shape) any {
	if r.oneIn(80) {
		return r.nonsense()
	}
	switch s.Type {
	case bounds.Structure:
		return r.structure(s)
	case bounds.List:
		list := make([]any, r.size(s, 3))
		for i := range list {
			list[i] = r.value(name, s.Element)
		}
		return list
	case bounds.Map:
		o := object{}
		for range r.size(s, 3) {
			o[r.string("", s.Key)] = r.value("", s.Value)
		}
		return o
	case bounds.Integer:
		if name == "statusCode" && !r.oneIn(5) {
			return 404 // The only value that is of any use here.
		}
		return r.integer(s)
	case bounds.Boolean:
		return r.oneIn(2)
	}
	return r.string(name, s)
}

func (r *Random) structure(s *bounds.Shape) any {
	o := object{}
	if s.Union && !r.oneIn(20) {
		m := s.Members[r.r.IntN(len(s.Members))]
		o[m.Name] = r.value(m.Name, m.Shape)
		return o
	}
	for _, m := range s.Members {
		if m.Required && !r.oneIn(60) || !m.Required && r.oneIn(3) {
			o[m.Name] = r.value(m.Name, m.Shape)
		}
	}
	return o
}

// size returns how many elements a list or map gets: few, as a rule.
func (r *Random) size(s *bounds.Shape, few int) int {
	least := int(lowest(s))
	if r.oneIn(60) && s.Max != nil {
		return min(int(*s.Max), 300) + r.r.IntN(2)
	}
	return least + r.r.IntN(few)
}

func (r *Random) integer(s *bounds.Shape) any {
	least, most := lowest(s), int64(1)<<31-1
	if s.Max != nil {
		most = *s.Max
	}
	switch r.r.IntN(40) {
	case 0, 1:
		return least
	case 2, 3:
		return most
	case 4:
		return least - 1
	case 5, 6, 7, 8:
		return min(most, least+int64(r.r.IntN(10)))
	}
	return least + r.r.Int64N(most-least+1)
}

// words are strings that mean something somewhere.
var words = [...]string{
	"", "a", "10.0.0.1", "fd00::1", "127.0.0.1", "169.254.169.254", "example.com", "*.example.com", "0.0.0.0/0", "10.0.0.0/33",
	`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`,
	`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":["vpc-lattice:CreateServiceNetworkServiceAssociation","vpc-lattice:GetService"],"Resource":"*"}]}`,
	`{"Statement":[]}`, "{", "null", "arn:aws:s3:::bucket", "arn:aws:logs:us-west-2:123456789012:log-group:a", "i-0123456789abcdef0",
	"arn:aws:lambda:us-west-2:123456789012:function:f", "subnet-0123456789abcdef0", "é", "\x00", "\u202e", "🙂", "%2F", "../..", "200-299", "200,404", "/health?a=b",
	"arn:aws:vpc-lattice:us-west-2:123456789012:service/svc-0123456789abcdef0/listener", "arn:aws:vpc-lattice:::", "x-header", "GET",
}

// fitting has values for members whose meaning the model does not say.
func fitting(member string) []string {
	switch member {
	case "policy":
		return []string{
			`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"vpc-lattice-svcs:Invoke","Resource":"*"}]}`,
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":["vpc-lattice:CreateServiceNetworkServiceAssociation","vpc-lattice:GetService","vpc-lattice:ListServices"],"Resource":"*"}]}`,
			`{"Statement":[]}`, "{", "null",
		}
	case "portRanges":
		return []string{"80", "1-65535", "443-444", "0", "9-8"}
	case "ipAddress":
		return []string{"10.0.0.1", "fd00::1", "300.0.0.1"}
	case "domainName", "customDomainName", "groupDomain", "privateDnsSpecifiedDomains":
		return []string{"example.com", "a.example.com", "*.example.com", "localhost"}
	case "method":
		return []string{"GET", "POST", "get"}
	case "id":
		return []string{"10.0.0.1", "fd00::1", "i-0123456789abcdef0", "arn:aws:lambda:us-west-2:123456789012:function:f"}
	}
	return nil
}

// learnedFor returns the learned ids and ARNs of the kind of resource that a member names. Its name tells the kind, since the
// model and the pattern may not.
func (r *Random) learnedFor(member, valid string) []string {
	for name, prefix := range map[string]string{
		"serviceNetworkIdentifier": "sn", "serviceIdentifier": "svc", "targetGroupIdentifier": "tg",
		"resourceConfigurationIdentifier": "rcfg", "resourceConfigurationGroupIdentifier": "rcfg", "resourceGatewayIdentifier": "rgw",
	} {
		if name == member {
			return r.known[prefix]
		}
	}
	// An ARN's resource is the last part of it.
	prefix, _, isID := strings.Cut(valid[strings.LastIndexByte(valid, '/')+1:], "-")
	if !isID {
		return nil
	}
	return r.known[prefix]
}

func (r *Random) string(member string, s *bounds.Shape) string {
	if r.oneIn(80) {
		return words[r.r.IntN(len(words))]
	}
	if len(s.Enum) > 0 {
		return s.Enum[r.r.IntN(len(s.Enum))]
	}
	if member == "name" && s.Pattern == "" && !r.oneIn(5) {
		return "x-header"
	}
	if values := fitting(member); values != nil && !r.oneIn(10) {
		return values[r.r.IntN(len(values))]
	}
	known, _ := sampleOf(s.Pattern)
	if r.oneIn(80) && len(known.bad) > 0 {
		return known.bad[r.r.IntN(len(known.bad))]
	}
	if learned := r.learnedFor(member, known.valid); len(learned) > 0 && !r.oneIn(20) {
		chosen := learned[r.r.IntN(len(learned))]
		// Where only an ARN can stand, an id would be refused by the model.
		if strings.HasPrefix(chosen, "arn:") || !strings.HasPrefix(known.valid, "arn:") {
			return chosen
		}
	}
	length := int(max(lowest(s), 1)) + r.r.IntN(30)
	if s.Max != nil {
		length = min(length, int(*s.Max))
	}
	if s.Pattern == "" {
		return strings.Repeat("é", length)
	}
	if strings.Contains(known.valid, seventeen) || r.oneIn(4) {
		return known.valid
	}
	if chosen, ok := textOf(s, length); ok {
		return chosen
	}
	return known.valid
}

// nonsense returns a value of any type.
func (r *Random) nonsense() any {
	switch r.r.IntN(8) {
	case 0:
		return nil
	case 1:
		return r.r.Float64() * 1e20
	case 2:
		return []any{r.nonsense()}
	case 3:
		return object{words[r.r.IntN(len(words))]: r.nonsense()}
	case 4:
		return r.oneIn(2)
	case 5:
		return strings.Repeat("a", 5000)
	case 6:
		return r.r.Int64() - 1<<62
	}
	return words[r.r.IntN(len(words))]
}

// Mangle returns a request with its body damaged: bytes are changed, cut out and repeated.
func (r *Random) Mangle(request Request) Request {
	if len(request.Body) == 0 {
		return request
	}
	body := slices.Clone(request.Body)
	for range 1 + r.r.IntN(4) {
		from := r.r.IntN(len(body) + 1)
		to := min(len(body), from+1+r.r.IntN(8))
		switch r.r.IntN(4) {
		case 0:
			body = slices.Replace(body, from, to, byte(r.r.IntN(256)))
		case 1:
			body = slices.Delete(body, from, to)
		case 2:
			body = slices.Insert(body, from, body[from:to]...)
		case 3:
			const marks = `{}[]",:\u0e-1.ntf `
			body = slices.Insert(body, from, marks[r.r.IntN(len(marks))])
		}
	}
	request.Body = body
	return request
}
