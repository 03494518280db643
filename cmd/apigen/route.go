package main

import (
	"fmt"
	"strings"
)

// routeNode is a node in the tree of all paths: what may follow it, and which operations end at it.
type routeNode struct {
	literals map[string]*routeNode
	label    *routeNode
	// methods maps an HTTP method to the operation whose path ends here.
	methods map[string]string
}

// maxLabels is that of internal/api.
const maxLabels = 3

// routes builds the tree of all paths.
func (m *model) routes() (*routeNode, error) {
	root := &routeNode{}
	for _, name := range m.operationNames() {
		op := m.Operations[name]
		if n := len(pathLabels(op)); n > maxLabels {
			return nil, fmt.Errorf("operation %s has %d labels in its path; internal/api keeps %d", name, n, maxLabels)
		}
		at := root
		for segment := range strings.SplitSeq(strings.TrimPrefix(op.HTTP.RequestURI, "/"), "/") {
			parent := at
			at = parent.child(segment)
			if parent.label != nil && len(parent.literals) > 0 {
				return nil, fmt.Errorf("operation %s: a label and a word are both possible in place of %q, which the generator does not support", name, segment)
			}
		}
		if at.methods == nil {
			at.methods = map[string]string{}
		}
		if other, taken := at.methods[op.HTTP.Method]; taken {
			return nil, fmt.Errorf("operations %s and %s have the same method and path", other, name)
		}
		at.methods[op.HTTP.Method] = name
	}
	return root, nil
}

func (n *routeNode) child(segment string) *routeNode {
	if isLabel(segment) {
		if n.label == nil {
			n.label = &routeNode{}
		}
		return n.label
	}
	if n.literals == nil {
		n.literals = map[string]*routeNode{}
	}
	if n.literals[segment] == nil {
		n.literals[segment] = &routeNode{}
	}
	return n.literals[segment]
}

func isLabel(segment string) bool { return strings.HasPrefix(segment, "{") }

// pathLabels maps the labels in an operation's path to their index among the labels.
func pathLabels(op *operation) map[string]int {
	labels := map[string]int{}
	for segment := range strings.SplitSeq(op.HTTP.RequestURI, "/") {
		if isLabel(segment) {
			labels[strings.Trim(segment, "{}")] = len(labels)
		}
	}
	return labels
}

// writeRoutes writes the table of operations, and the function that finds the one a request means.
func (m *model) writeRoutes() ([]byte, error) {
	root, err := m.routes()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(generatedHeader + "package api\n\n")
	b.WriteString("// The indexes of the operations in the table of that name.\nconst (\n")
	for i, name := range m.operationNames() {
		fmt.Fprintf(&b, "\toperation%s", name)
		if i == 0 {
			b.WriteString(" = iota")
		}
		b.WriteByte('\n')
	}
	b.WriteString(")\n\n// operations is the table of all operations. It never changes.\nvar operations = [...]operation{\n")
	for _, name := range m.operationNames() {
		op := m.Operations[name]
		fmt.Fprintf(&b, "\toperation%s: {name: %q, status: %d, hasBody: %t, mutates: %t, resource: %q, call: call(decode%s, Operations.%s)},\n",
			name, name, op.HTTP.ResponseCode, m.hasBody(op), mutates(name), resourceTail(op.HTTP.RequestURI), op.Input.Shape, name)
	}
	b.WriteString("}\n\n")
	b.WriteString("// route returns the operation that a method and an escaped path mean, and the labels in the path.\n")
	b.WriteString("// The operation is nil if there is none.\n")
	b.WriteString("func route(method, path string) (*operation, labels) {\n\ts := segments{rest: path}\n")
	root.write(&b)
	b.WriteString("\treturn nil, labels{}\n}\n")
	return []byte(b.String()), nil
}

func (m *model) hasBody(op *operation) bool {
	for _, ref := range m.Shapes[op.Input.Shape].Members {
		if ref.Location == "" {
			return true
		}
	}
	return false
}

// mutates reports whether an operation may change something. Its HTTP method does not tell: ListTargets is a POST.
func mutates(operation string) bool {
	return !strings.HasPrefix(operation, "Get") && !strings.HasPrefix(operation, "List")
}

// resourceTail turns a path into the end of the ARN that the operation is about, with {} for the ids in the path:
// /services/{serviceIdentifier}/listeners becomes service/{}/listener/*. It is {} alone where the path's label is
// the whole of it.
func resourceTail(uri string) string {
	var parts []string
	for segment := range strings.SplitSeq(strings.TrimPrefix(uri, "/"), "/") {
		switch {
		case isLabel(segment):
			parts = append(parts, "{}")
		case segment == "authpolicy", segment == "resourcepolicy", segment == "tags":
			// The label after it says which resource, of any kind.
		case strings.HasSuffix(segment, "targets"):
			// registertargets, deregistertargets, listtargets: an operation on the resource before it.
		default:
			parts = append(parts, strings.TrimSuffix(segment, "s"))
		}
	}
	if last := parts[len(parts)-1]; last != "{}" && !strings.HasSuffix(uri, "targets") {
		parts = append(parts, "*")
	}
	return strings.Join(parts, "/")
}

// write writes the statements that go on from a node. Each path through them returns or falls out at the end of
// the function, which means that there is no such operation.
func (n *routeNode) write(b *strings.Builder) {
	if len(n.methods) > 0 {
		b.WriteString("if s.end() {\nswitch method {\n")
		for _, method := range sortedKeys(n.methods) {
			fmt.Fprintf(b, "case %q:\nreturn &operations[operation%s], s.labels\n", method, n.methods[method])
		}
		b.WriteString("}\n")
		if n.label != nil || len(n.literals) > 0 {
			b.WriteString("return nil, labels{}\n")
		}
		b.WriteString("}\n")
	}
	if n.label != nil {
		take := "label"
		if n.label.label == nil && len(n.label.literals) == 0 {
			take = "lastLabel"
		}
		fmt.Fprintf(b, "if s.%s() {\n", take)
		n.label.write(b)
		b.WriteString("}\n")
	}
	if len(n.literals) > 0 {
		b.WriteString("switch s.next() {\n")
		for _, word := range sortedKeys(n.literals) {
			fmt.Fprintf(b, "case %q:\n", word)
			n.literals[word].write(b)
		}
		b.WriteString("}\n")
	}
}
