package main

import (
	"fmt"
	"strings"
)

// writeBounds writes the table of everything that the model asks of the inputs, and of the errors, as data for tests.
func (m *model) writeBounds() []byte {
	var b strings.Builder
	b.WriteString(generatedHeader + "package bounds\n\nvar operations = []Operation{\n")
	for _, name := range m.operationNames() {
		op := m.Operations[name]
		fmt.Fprintf(&b, "{Name: %q, Method: %q, URI: %q, Status: %d, Input: shape%s, Errors: []string{%s}},\n",
			name, op.HTTP.Method, op.HTTP.RequestURI, op.HTTP.ResponseCode, op.Input.Shape, quoted(op.errorNames()))
	}
	b.WriteString("}\n\n")
	for _, name := range m.inputShapes() {
		m.writeBoundsShape(&b, name)
	}
	return []byte(b.String())
}

func (m *model) writeBoundsShape(b *strings.Builder, name string) {
	s := m.Shapes[name]
	fmt.Fprintf(b, "var shape%s = &Shape{Name: %q, Type: %q", name, name, s.Type)
	if s.Min != nil {
		fmt.Fprintf(b, ", Min: new(int64(%d))", *s.Min)
	}
	if s.Max != nil {
		fmt.Fprintf(b, ", Max: new(int64(%d))", *s.Max)
	}
	if s.Pattern != "" {
		fmt.Fprintf(b, ", Pattern: `%s`", s.Pattern)
	}
	if len(s.Enum) > 0 {
		fmt.Fprintf(b, ", Enum: []string{%s}", quoted(s.Enum))
	}
	if s.Union {
		b.WriteString(", Union: true")
	}
	if s.Type == "list" {
		fmt.Fprintf(b, ", Element: shape%s", s.Member.Shape)
	}
	if s.Type == "map" {
		fmt.Fprintf(b, ", Key: shape%s, Value: shape%s", s.Key.Shape, s.Value.Shape)
	}
	if s.Type == "structure" {
		b.WriteString(", Members: []Member{\n")
		for _, member := range sortedKeys(s.Members) {
			ref := s.Members[member]
			fmt.Fprintf(b, "{Name: %q, Shape: shape%s", member, ref.Shape)
			if ref.Location != "" {
				fmt.Fprintf(b, ", Location: %q", ref.Location)
			}
			if s.isRequired(member) {
				b.WriteString(", Required: true")
			}
			b.WriteString("},\n")
		}
		b.WriteString("}")
	}
	b.WriteString("}\n\n")
}

// writeFake writes an implementation of the operations for tests.
func (m *model) writeFake() []byte {
	var b strings.Builder
	b.WriteString(generatedHeader + "package apitest\n\nimport (\n\t\"context\"\n\n\t\"trellis/internal/api\"\n\t\"trellis/internal/shape\"\n)\n\n")
	for _, name := range m.operationNames() {
		op := m.Operations[name]
		fmt.Fprintf(&b, "// %s calls f, and answers with an empty response.\n", name)
		fmt.Fprintf(&b, "func (f Operations) %s(ctx context.Context, caller api.Caller, in *shape.%s) (*shape.%s, error) {\n",
			name, op.Input.Shape, op.Output.Shape)
		fmt.Fprintf(&b, "return &shape.%s{}, f(ctx, %q, caller, in)\n}\n\n", op.Output.Shape, name)
	}
	return []byte(b.String())
}
