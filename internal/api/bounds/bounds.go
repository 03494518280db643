// Package bounds is everything that the API's model requires of the inputs of operations, as data: types, required members,
// bounds, patterns, enums, unions; and the errors that operations may return. Tests go through it to prove that the server
// enforces all of it. The server itself checks with generated code (internal/api/decode_gen.go), not with this data, so
// that each proves the other.
//
// cmd/apigen generates the data. Readers must not change it.
package bounds

import "slices"

// Operation is an operation of the API.
type Operation struct {
	Name   string
	Method string
	// URI is the path with its labels in braces: /services/{serviceIdentifier}.
	URI string
	// Status is the status code of success.
	Status int
	// Input is a structure.
	Input *Shape
	// Errors are the names of the errors that the operation can answer with, in alphabetical order.
	Errors []string
}

// Shape is a type of the model and what it asks of its values.
type Shape struct {
	Name string
	Type Type
	// Min and Max bound the characters of a string, the elements of a list, the entries of a map, or an integer.
	Min, Max *int64
	// Pattern is a regular expression, in the model's dialect, that a string must match as a whole.
	Pattern string
	// Enum is the values that a string may have; empty if it is no enum.
	Enum []string
	// Union says of a structure that exactly one member must be set.
	Union   bool
	Members []Member
	// Element is what a list holds; Key and Value are what a map holds.
	Element, Key, Value *Shape
}

// Type is the type of a shape.
type Type string

// The types of the shapes in the inputs.
const (
	Structure Type = "structure"
	List      Type = "list"
	Map       Type = "map"
	String    Type = "string"
	Integer   Type = "integer"
	Boolean   Type = "boolean"
)

// Member is a member of a structure.
type Member struct {
	Name  string
	Shape *Shape
	// Location is where a member of an input is sent.
	Location Location
	Required bool
}

// Location is a part of the request.
type Location string

// The parts of a request that hold members of the input.
const (
	Body  Location = ""
	Path  Location = "uri"
	Query Location = "querystring"
)

// Operations returns all operations, by name.
func Operations() []Operation { return slices.Clone(operations) }

// Constraint is one thing that the model asks of one member of an operation's input.
type Constraint struct {
	// Path leads from the input to the value that is constrained.
	Path []Step
	// Location is where the path's first member is sent.
	Location Location
	// Shape is the shape of the value.
	Shape *Shape
	Kind  Kind
}

// Kind is what a constraint is about.
type Kind string

// The kinds of constraints.
const (
	OfType     Kind = "type"
	IsRequired Kind = "required"
	AtLeast    Kind = "min"
	AtMost     Kind = "max"
	Matches    Kind = "pattern"
	OneOf      Kind = "enum"
	OneMember  Kind = "union"
)

// Step leads from a value to one of its parts.
type Step struct {
	Into StepKind
	// Member is the name of the member, for IntoMember.
	Member string
}

// StepKind is which part of a value a step leads to.
type StepKind uint8

// The kinds of steps: to a member of a structure, the first element of a list, a map's key or its value.
const (
	IntoMember StepKind = iota
	IntoElement
	IntoKey
	IntoValue
)

// Constraints returns everything that the model asks of the operation's input, at whatever depth.
func (o Operation) Constraints() []Constraint {
	var all []Constraint
	for _, m := range o.Input.Members {
		all = appendMember(all, nil, m.Location, m)
	}
	return all
}

func appendMember(all []Constraint, path []Step, location Location, m Member) []Constraint {
	path = append(slices.Clone(path), Step{IntoMember, m.Name})
	if m.Required {
		all = append(all, Constraint{path, location, m.Shape, IsRequired})
	}
	return appendShape(all, path, location, m.Shape)
}

func appendShape(all []Constraint, path []Step, location Location, s *Shape) []Constraint {
	add := func(kind Kind) { all = append(all, Constraint{path, location, s, kind}) }
	add(OfType)
	if s.Min != nil {
		add(AtLeast)
	}
	if s.Max != nil {
		add(AtMost)
	}
	if s.Pattern != "" {
		add(Matches)
	}
	if len(s.Enum) > 0 {
		add(OneOf)
	}
	if s.Union {
		add(OneMember)
	}
	for _, m := range s.Members {
		all = appendMember(all, path, location, m)
	}
	into := func(part *Shape, kind StepKind) {
		if part != nil {
			all = appendShape(all, append(slices.Clone(path), Step{Into: kind}), location, part)
		}
	}
	into(s.Element, IntoElement)
	into(s.Key, IntoKey)
	into(s.Value, IntoValue)
	return all
}
