package main

import (
	"fmt"
	"slices"
	"strings"
)

// goType is the Go type of a member: scalars are pointers, so that an absent member differs from a zero one;
// enums are values whose empty string means absent; lists and maps are nil when absent.
func (m *model) goType(name string) string {
	s := m.Shapes[name]
	switch s.Type {
	case "structure":
		return "*" + name
	case "list":
		return "[]" + strings.TrimPrefix(m.goType(s.Member.Shape), "*")
	case "map":
		return "map[string]string"
	case "string":
		if len(s.Enum) > 0 {
			return name
		}
		return "*string"
	case "integer":
		return "*int32"
	case "long":
		return "*int64"
	case "boolean":
		return "*bool"
	case "timestamp":
		return "*Time"
	}
	panic(fmt.Sprintf("shape %s has the type %q, which checkTypes must have refused", name, s.Type))
}

// checkTypes returns an error if a shape has a type that goType does not know.
func (m *model) checkTypes() error {
	known := []string{"structure", "list", "map", "string", "integer", "long", "boolean", "timestamp"}
	for _, name := range m.shapeNames() {
		if s := m.Shapes[name]; !slices.Contains(known, s.Type) {
			return fmt.Errorf("shape %s has the type %q, which the generator does not know", name, s.Type)
		}
	}
	return nil
}

// writeShapes writes the structures and enums of the model.
func (m *model) writeShapes() []byte {
	var b strings.Builder
	b.WriteString(generatedHeader + "package shape\n\n")
	for _, name := range m.shapeNames() {
		s := m.Shapes[name]
		switch {
		case s.Type == "structure":
			m.writeStructure(&b, name, s)
		case len(s.Enum) > 0:
			writeEnum(&b, name, s)
		}
	}
	return []byte(b.String())
}

func (m *model) writeStructure(b *strings.Builder, name string, s *modelShape) {
	fmt.Fprintf(b, "// %s is the structure of that name in the API", name)
	switch {
	case s.Union:
		b.WriteString(": a union, in which exactly one member is set.\n")
	case s.Exception:
		fmt.Fprintf(b, ": an error, answered with HTTP status %d.\n", s.Error.HTTPStatusCode)
	default:
		b.WriteString(".\n")
	}
	fmt.Fprintf(b, "type %s struct {\n", name)
	for _, member := range sortedKeys(s.Members) {
		ref := s.Members[member]
		tag := member
		switch {
		case ref.Location == "header":
			tag = "-"
		case !s.isRequired(member):
			tag += ",omitzero"
		}
		fmt.Fprintf(b, "\t%s %s `json:%q`\n", exported(member), m.goType(ref.Shape), tag)
	}
	b.WriteString("}\n\n")
	if s.Exception {
		fmt.Fprintf(b, "// Error returns the message that the caller is shown.\n")
		fmt.Fprintf(b, "func (e *%s) Error() string { return \"%s: \" + *e.Message }\n\n", name, name)
		fmt.Fprintf(b, "// ErrorCode returns the name under which clients know the error.\n")
		fmt.Fprintf(b, "func (e *%s) ErrorCode() string { return %q }\n\n", name, name)
		fmt.Fprintf(b, "// HTTPStatus returns the status code with which the error is answered.\n")
		fmt.Fprintf(b, "func (e *%s) HTTPStatus() int { return %d }\n\n", name, s.Error.HTTPStatusCode)
	}
}

func writeEnum(b *strings.Builder, name string, s *modelShape) {
	fmt.Fprintf(b, "// %s is an enum of the API. The empty string means that the member is absent.\ntype %s string\n\n", name, name)
	fmt.Fprintf(b, "// The values of %s.\nconst (\n", name)
	for _, v := range s.Enum {
		fmt.Fprintf(b, "\t%s%s %s = %q\n", name, enumConst(v), name, v)
	}
	b.WriteString(")\n\n")
}
