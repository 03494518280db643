package main

import (
	"fmt"
	"math"
	"regexp"
	"sort"
	"strings"
)

// handWritten maps the patterns that package regexp cannot match, because they look ahead or repeat more than
// 1000 times, or matches slowly, to the Go expression that makes them with internal/api/pattern.go.
var handWritten = map[string]string{
	`(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`:              `name("")`,
	`(?!listener-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`: `name("listener-")`,
	`(?!rcfg-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`:     `name("rcfg-")`,
	`(?!rgw-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`:      `name("rgw-")`,
	`(?!rule-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`:     `name("rule-")`,
	`(?!svc-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`:      `name("svc-")`,
	`(?!tg-)(?![-])(?!.*[-]$)(?!.*[-]{2})[a-z0-9-]+`:       `name("tg-")`,

	`arn:[a-z0-9][-.a-z0-9]{0,62}:[a-z0-9][-.a-z0-9]{0,62}:([a-z0-9][-.a-z0-9]{0,62})?:\d{12}?:[^/].{0,1023}`: `arn("")`,
	`arn:[a-z0-9][-.a-z0-9]{0,62}:vpc-lattice:([a-z0-9][-.a-z0-9]{0,62})?:\d{12}?:[^/].{0,1023}`:              `arn("vpc-lattice")`,

	`.*(^/[a-zA-Z0-9@:%_+.~#?&/=-]*$|(^$)).*`: "optional(`/[a-zA-Z0-9@:%_+.~#?&/=-]*`)",
	`.*(^[0-9-,]+$|(^$)).*`:                   "optional(`[0-9-,]+`)",
}

// inputShapes returns the names of all shapes in the inputs, sorted.
func (m *model) inputShapes() []string {
	seen := map[string]bool{}
	var walk func(ref *shapeRef)
	walk = func(ref *shapeRef) {
		if ref == nil || seen[ref.Shape] {
			return
		}
		seen[ref.Shape] = true
		s := m.Shapes[ref.Shape]
		walk(s.Member)
		walk(s.Key)
		walk(s.Value)
		for _, member := range s.Members {
			walk(&member)
		}
	}
	for _, op := range m.Operations {
		walk(&op.Input)
	}
	return sortedKeys(seen)
}

// writeDecoders writes the patterns, and a decoder for each shape of the inputs.
func (m *model) writeDecoders() ([]byte, error) {
	patterns, err := m.patterns()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString(generatedHeader + "package api\n\nimport (\n\t\"math\"\n\n\t\"trellis/internal/shape\"\n)\n\n")
	writePatterns(&b, patterns)
	inputs := map[string]*operation{}
	for _, op := range m.Operations {
		inputs[op.Input.Shape] = op
	}
	for _, name := range m.inputShapes() {
		if op, ok := inputs[name]; ok {
			err = m.writeInputDecoder(&b, name, op)
		} else {
			err = m.writeDecoder(&b, name, patterns)
		}
		if err != nil {
			return nil, fmt.Errorf("shape %s: %w", name, err)
		}
	}
	return []byte(b.String()), nil
}

// patternVar is a variable that holds a pattern. Shapes with the same pattern share it.
type patternVar struct{ name, makes string }

func (m *model) patterns() (map[string]patternVar, error) {
	vars := map[string]patternVar{}
	for _, name := range m.inputShapes() {
		p := m.Shapes[name].Pattern
		if _, known := vars[p]; known || p == "" {
			continue
		}
		makes, known := handWritten[p]
		if !known {
			if _, err := regexp.Compile(p); err != nil {
				return nil, fmt.Errorf("shape %s: package regexp cannot match its pattern, and cmd/apigen knows no predicate for it: %w", name, err)
			}
			makes = fmt.Sprintf("expression(`%s`)", p)
		}
		vars[p] = patternVar{"pattern" + name, makes}
	}
	return vars, nil
}

func writePatterns(b *strings.Builder, vars map[string]patternVar) {
	lines := make([]string, 0, len(vars))
	for _, v := range vars {
		lines = append(lines, fmt.Sprintf("\t%s = %s\n", v.name, v.makes))
	}
	sort.Strings(lines)
	b.WriteString("// The patterns of the model, each named after one of the shapes that have it. They never change.\nvar (\n")
	b.WriteString(strings.Join(lines, ""))
	b.WriteString(")\n\n")
}

// writeInputDecoder writes the decoder of an operation's input, whose members come from path, query and body.
func (m *model) writeInputDecoder(b *strings.Builder, name string, op *operation) error {
	s := m.Shapes[name]
	labels := pathLabels(op)
	fmt.Fprintf(b, "func decode%s(d *decoder) *shape.%s {\n\treturn &shape.%s{\n", name, name, name)
	for _, member := range sortedKeys(s.Members) {
		ref := s.Members[member]
		var from string
		switch ref.Location {
		case "":
			from = fmt.Sprintf("d.member(%q)", member)
		case "uri":
			index, ok := labels[ref.LocationName]
			if !ok || ref.LocationName != member {
				return fmt.Errorf("member %s is in the path, which has no label of that name", member)
			}
			from = fmt.Sprintf("d.label(%q, %d)", member, index)
		case "querystring":
			if ref.LocationName != member {
				return fmt.Errorf("member %s has the other name %s in the query string", member, ref.LocationName)
			}
			from = fmt.Sprintf("d.queryValue(%q)", member)
			if m.Shapes[ref.Shape].Type == "list" {
				from = fmt.Sprintf("d.queryList(%q)", member)
			}
		default:
			return fmt.Errorf("member %s is in %q, which the generator does not know", member, ref.Location)
		}
		if s.isRequired(member) {
			from += ".required()"
		}
		fmt.Fprintf(b, "\t\t%s: decode%s(%s),\n", exported(member), ref.Shape, from)
	}
	b.WriteString("\t}\n}\n\n")
	return nil
}

// writeDecoder writes the decoder of a shape that is a part of an input.
func (m *model) writeDecoder(b *strings.Builder, name string, patterns map[string]patternVar) error {
	s := m.Shapes[name]
	fmt.Fprintf(b, "func decode%s(v value) %s {\n", name, m.qualifiedType(name))
	switch s.Type {
	case "structure":
		m.writeStructureDecoder(b, name, s)
	case "list":
		if !strings.HasPrefix(m.qualifiedType(s.Member.Shape), "*") {
			return fmt.Errorf("the generator does not know lists of %s", s.Member.Shape)
		}
		low, high := lengths(s)
		fmt.Fprintf(b, "\treturn list(v, %s, %s, decode%s)\n", low, high, s.Member.Shape)
	case "map":
		low, high := lengths(s)
		fmt.Fprintf(b, "\treturn stringMap(v, %s, %s, decode%s, decode%s)\n", low, high, s.Key.Shape, s.Value.Shape)
	case "string":
		if len(s.Enum) > 0 {
			b.WriteString("\treturn enum(v")
			for _, e := range s.Enum {
				fmt.Fprintf(b, ", shape.%s%s", name, enumConst(e))
			}
			b.WriteString(")\n")
			break
		}
		low, high := lengths(s)
		pattern := "nil"
		if s.Pattern != "" {
			pattern = patterns[s.Pattern].name
		}
		fmt.Fprintf(b, "\treturn v.string(%s, %s, %s)\n", low, high, pattern)
	case "integer":
		low, high := "math.MinInt32", "math.MaxInt32"
		if s.Min != nil {
			low = fmt.Sprint(*s.Min)
		}
		if s.Max != nil {
			high = fmt.Sprint(*s.Max)
		}
		fmt.Fprintf(b, "\treturn v.integer(%s, %s)\n", low, high)
	case "boolean":
		b.WriteString("\treturn v.boolean()\n")
	default:
		return fmt.Errorf("type %q has no decoder", s.Type)
	}
	b.WriteString("}\n\n")
	return nil
}

func (m *model) writeStructureDecoder(b *strings.Builder, name string, s *modelShape) {
	b.WriteString("\tif !v.isObject() {\n\t\treturn nil\n\t}\n")
	if s.Union {
		fmt.Fprintf(b, "\tv.exactlyOne(%s)\n", quoted(sortedKeys(s.Members)))
	}
	fmt.Fprintf(b, "\treturn &shape.%s{\n", name)
	for _, member := range sortedKeys(s.Members) {
		ref := s.Members[member]
		from := fmt.Sprintf("v.member(%q)", member)
		if s.isRequired(member) {
			from += ".required()"
		}
		fmt.Fprintf(b, "\t\t%s: decode%s(%s),\n", exported(member), ref.Shape, from)
	}
	b.WriteString("\t}\n")
}

// qualifiedType is goType as seen from another package.
func (m *model) qualifiedType(name string) string {
	s := m.Shapes[name]
	switch {
	case s.Type == "structure":
		return "*shape." + name
	case s.Type == "list":
		return "[]" + strings.TrimPrefix(m.qualifiedType(s.Member.Shape), "*")
	case len(s.Enum) > 0:
		return "shape." + name
	}
	return m.goType(name)
}

// lengths returns the bounds of a string's length or a list's or map's size, as Go expressions.
func lengths(s *modelShape) (low, high string) {
	low, high = "0", "math.MaxInt"
	if s.Min != nil {
		low = fmt.Sprint(*s.Min)
	}
	if s.Max != nil && *s.Max < math.MaxInt32 {
		high = fmt.Sprint(*s.Max)
	}
	return low, high
}

func quoted(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(q, ", ")
}
