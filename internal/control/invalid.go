package control

import (
	"fmt"
	"strings"

	"trellis/internal/api"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// invalid returns a ValidationException that names all wrong fields, or nil if there are none.
func invalid(problems []lattice.FieldProblem) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return api.Invalid(problems[0].Field, problems[0].Message)
	}
	var message strings.Builder
	fmt.Fprintf(&message, "%d validation errors detected:", len(problems))
	fields := make([]shape.ValidationExceptionField, len(problems))
	for i, p := range problems {
		if i > 0 {
			message.WriteByte(';')
		}
		message.WriteString(" " + strings.TrimSuffix(p.Message, "."))
		fields[i] = shape.ValidationExceptionField{Name: &p.Field, Message: &p.Message}
	}
	return &shape.ValidationException{
		Message:   ptr(message.String()),
		Reason:    shape.ValidationExceptionReasonFieldValidationFailed,
		FieldList: fields,
	}
}
