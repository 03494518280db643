package apitest

import (
	"fmt"
	"math"

	"trellis/internal/api/bounds"
)

// Case is a request to an operation in which exactly one thing is wrong, or nothing.
type Case struct {
	// Name says what is wrong with the request or, in a case of Allowed, what is just allowed.
	Name      string
	Operation string
	// Field is the path of the wrong value, as the response's fieldList must name it.
	Field string
	Kind  bounds.Kind
	// Shape is the shape of the value.
	Shape   *bounds.Shape
	Request Request
}

// Violations returns requests that just break each constraint of the model on an operation's input. Each must be answered with
// a ValidationException whose fieldList names Field.
func Violations(op bounds.Operation) []Case { return cases(op, violations) }

// Allowed returns requests that just keep each constraint of the model on an operation's input.
func Allowed(op bounds.Operation) []Case { return cases(op, allowed) }

// variant is a value to try for a constraint.
type variant struct {
	name  string
	value any
}

func cases(op bounds.Operation, variants func(bounds.Constraint) []variant) []Case {
	var list []Case
	for _, c := range op.Constraints() {
		field := fieldName(op.Input, c.Path)
		for _, v := range variants(c) {
			input := with(op.Input, c.Path, func(any) any { return v.value }).(object)
			named := field
			if key, isKey := v.value.(string); isKey && c.Path[len(c.Path)-1].Into == bounds.IntoKey {
				named = fieldName(op.Input, c.Path[:len(c.Path)-1]) + keyName(key)
			}
			list = append(list, Case{
				Name:      fmt.Sprintf("%s %s %s", field, c.Kind, v.name),
				Operation: op.Name, Field: named, Kind: c.Kind, Shape: c.Shape,
				Request: assemble(op, input),
			})
		}
	}
	return list
}

// fieldName is a path as fieldList names it: config.port, targets[0].id, tags["a"].
func fieldName(s *bounds.Shape, path []bounds.Step) string {
	name := ""
	for _, step := range path {
		switch step.Into {
		case bounds.IntoElement:
			name += "[0]"
			s = s.Element
		case bounds.IntoKey:
			name += keyName(text(s.Key))
			s = s.Key
		case bounds.IntoValue:
			name += keyName(text(s.Key))
			s = s.Value
		default:
			if name != "" {
				name += "."
			}
			name += step.Member
			for _, m := range s.Members {
				if m.Name == step.Member {
					s = m.Shape
					break
				}
			}
		}
	}
	return name
}

// keyName is the name of a map's entry; a long key is cut.
func keyName(key string) string {
	if runes := []rune(key); len(runes) > 64 {
		key = string(runes[:64]) + "..."
	}
	return `["` + key + `"]`
}

// violations returns the values that are just outside a constraint.
func violations(c bounds.Constraint) []variant {
	s := c.Shape
	isText := c.Location != bounds.Body
	isKey := c.Path[len(c.Path)-1].Into == bounds.IntoKey
	switch c.Kind {
	case bounds.OfType:
		if isKey || isText && s.Type != bounds.Integer && s.Type != bounds.Boolean {
			return nil // Whatever is sent in the path or the query is a string.
		}
		return wrongTypes(s.Type, isText)
	case bounds.IsRequired:
		if c.Location == bounds.Path {
			return nil // Without a label the path would be another one.
		}
		list := []variant{{"left out", absent{}}}
		if !isText {
			list = append(list, variant{"null", nil})
		}
		return list
	case bounds.AtLeast:
		if s.Type == bounds.Integer {
			return []variant{{"one less", *s.Min - 1}, {"far less", int64(math.MinInt64)}}
		}
		if *s.Min == 0 || isText && *s.Min == 1 && s.Type == bounds.List {
			return nil
		}
		return []variant{{"one less", sized(s, int(*s.Min)-1)}}
	case bounds.AtMost:
		if s.Type == bounds.Integer {
			return []variant{{"one more", *s.Max + 1}, {"far more", uint64(math.MaxUint64)}}
		}
		return []variant{{"one more", sized(s, int(*s.Max)+1)}}
	case bounds.Matches:
		known, _ := sampleOf(s.Pattern)
		var list []variant
		for _, bad := range known.bad {
			list = append(list, variant{fmt.Sprintf("%q", bad), bad})
		}
		return list
	case bounds.OneOf:
		return []variant{{"another", s.Enum[0] + "X"}, {"empty", ""}, {"lower case", "x"}}
	case bounds.OneMember:
		list := []variant{{"none", object{}}, {"an unknown one", object{"unknown": 1}}}
		if len(s.Members) > 1 {
			two := object{}
			for _, m := range s.Members[:2] {
				two[m.Name] = minimal(m.Shape)
			}
			list = append(list, variant{"two", two})
		}
		return list
	}
	return nil
}

func wrongTypes(t bounds.Type, isText bool) []variant {
	if isText {
		return []variant{{"a word", "abc"}, {"a fraction", "1.5"}, {"empty", ""}}
	}
	var list []variant
	for _, v := range []struct {
		is bounds.Type
		variant
	}{
		{bounds.Structure, variant{"an object", object{"a": "b"}}},
		{bounds.List, variant{"a list", []any{"a"}}},
		{bounds.String, variant{"a string", "a"}},
		{bounds.Boolean, variant{"a boolean", true}},
		{"", variant{"a fraction", 1.5}},
	} {
		if v.is == t || v.is == bounds.Structure && t == bounds.Map {
			continue
		}
		list = append(list, v.variant)
	}
	return list
}

// allowed returns the values that are just inside a constraint.
func allowed(c bounds.Constraint) []variant {
	s := c.Shape
	bound := s.Max
	switch c.Kind {
	case bounds.OneOf:
		var list []variant
		for _, e := range s.Enum {
			list = append(list, variant{e, e})
		}
		return list
	case bounds.OneMember:
		var list []variant
		for _, m := range s.Members {
			list = append(list, variant{m.Name, object{m.Name: minimal(m.Shape)}})
		}
		return list
	case bounds.AtLeast:
		bound = s.Min
	case bounds.AtMost:
	default:
		return nil
	}
	n := int(*bound)
	if c.Location != bounds.Body && n == 0 && s.Type != bounds.Integer {
		return nil
	}
	switch s.Type {
	case bounds.Integer:
		return []variant{{"at the bound", n}}
	case bounds.String:
		value, ok := textOf(s, n)
		if !ok {
			return nil
		}
		return []variant{{"at the bound", value}}
	}
	return []variant{{"at the bound", sized(s, n)}}
}

// sized returns a string, list or map of n characters, elements or entries.
func sized(s *bounds.Shape, n int) any {
	switch s.Type {
	case bounds.List:
		return repeat(minimal(s.Element), int64(n))
	case bounds.Map:
		o := object{}
		for i := range n {
			o[fmt.Sprint(i)] = minimal(s.Value)
		}
		return o
	}
	value, _ := textOf(s, n)
	return value
}
