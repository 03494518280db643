package console

import (
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
)

// command is a command for AWS's CLI.
type command struct{ Label, Line string }

// command returns the command that carries out an operation with an input. The input's members are its options.
func (v *visit) command(label, operation string, input any) command {
	var b strings.Builder
	b.WriteString("aws vpc-lattice " + kebab(operation))
	in := reflect.ValueOf(input).Elem()
	for i := range in.NumField() {
		name, _, _ := strings.Cut(in.Type().Field(i).Tag.Get("json"), ",")
		member := in.Field(i)
		if member.IsZero() || member.Kind() == reflect.Map && member.Len() == 0 {
			continue
		}
		if member.Kind() == reflect.Pointer {
			member = member.Elem()
		}
		option := " --" + kebab(name)
		switch member.Kind() {
		case reflect.Bool: // A boolean is a flag, and false is its opposite.
			if !member.Bool() {
				option = " --no-" + kebab(name)
			}
			b.WriteString(option)
			continue
		case reflect.String:
			b.WriteString(option + " " + quoted(member.String()))
			continue
		}
		b.WriteString(option + " " + quoted(compact(withoutEmptyLists(member.Interface()))))
	}
	b.WriteString(" --region " + v.scope.Region + " --endpoint-url " + v.cfg.API)
	return command{label, b.String()}
}

// withoutEmptyLists returns a value as JSON has it, without the empty lists in it: records have some, and requests must not.
func withoutEmptyLists(value any) any {
	var decoded any
	if json.Unmarshal([]byte(compact(value)), &decoded) != nil {
		return value
	}
	dropEmptyLists(decoded)
	return decoded
}

func dropEmptyLists(value any) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if list, ok := member.([]any); ok && len(list) == 0 {
				delete(value, name)
				continue
			}
			dropEmptyLists(member)
		}
	case []any:
		for _, element := range value {
			dropEmptyLists(element)
		}
	}
}

// quoted writes a word for a shell.
func quoted(s string) string {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_./:@%+,=", c)
	}
	if s != "" && strings.IndexFunc(s, func(c rune) bool { return !plain(c) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// kebab writes a name of the API as the CLI does: vpcIdentifier as vpc-identifier.
func kebab(name string) string {
	var b strings.Builder
	for i, c := range name {
		if unicode.IsUpper(c) {
			if i > 0 {
				b.WriteByte('-')
			}
			c = unicode.ToLower(c)
		}
		b.WriteRune(c)
	}
	return b.String()
}
