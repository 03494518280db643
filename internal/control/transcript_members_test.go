package control

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"trellis/internal/api"
	"trellis/internal/shape"
)

// neverShown says why a member of a response is in no transcript: nothing here could be its value. It holds the members
// by the structure that has them. Every other one is shown, which TestTranscriptsShowEveryMemberOfEveryResponse makes
// sure of.
var neverShown = map[string]string{
	"CreateResourceConfigurationResponse.failureReason": "the response to a creation that fails says that it goes on; the failure shows later",
	"GetResourceGatewayResponse.managedBy":              "no resource gateway is managed by a service of AWS here",
}

func TestTranscriptsShowEveryMemberOfEveryResponse(t *testing.T) {
	shown := map[string]bool{}
	operations := reflect.TypeFor[api.Operations]()
	for _, a := range transcribedAnswers(t) {
		if a.outcome != success || strings.TrimSpace(a.body) == "" {
			continue
		}
		var answer any
		if err := json.Unmarshal([]byte(a.body), &answer); err != nil {
			t.Fatalf("%s: %v in %s", a.operation, err, a.body)
		}
		method, _ := operations.MethodByName(a.operation)
		noteMembers(shown, method.Type.Out(0), answer)
	}
	for method := range operations.Methods() {
		for _, member := range membersOf(method.Type.Out(0)) {
			reason, isNever := neverShown[member]
			switch {
			case shown[member] && isNever:
				t.Errorf("%s is shown, which neverShown excludes: %s", member, reason)
			case !shown[member] && !isNever:
				t.Errorf("no transcript of %s shows %s, and neverShown has no reason", method.Name, member)
			}
		}
	}
}

// noteMembers notes the members of structures that are there in a response of a type.
func noteMembers(shown map[string]bool, kind reflect.Type, answer any) {
	kind = structureIn(kind)
	switch answer := answer.(type) {
	case []any:
		for _, element := range answer {
			noteMembers(shown, kind, element)
		}
	case map[string]any:
		if kind.Kind() != reflect.Struct {
			return
		}
		for field := range kind.Fields() {
			if value, ok := answer[memberName(field)]; ok {
				shown[kind.Name()+"."+memberName(field)] = true
				noteMembers(shown, field.Type, value)
			}
		}
	}
}

// membersOf returns the members of a structure, and of the structures in it.
func membersOf(kind reflect.Type) (members []string) {
	kind = structureIn(kind)
	if kind.Kind() != reflect.Struct || kind == reflect.TypeFor[shape.Time]() {
		return nil
	}
	for field := range kind.Fields() {
		members = append(members, kind.Name()+"."+memberName(field))
		members = append(members, membersOf(field.Type)...)
	}
	return members
}

// structureIn returns what a pointer points to, or a list holds.
func structureIn(kind reflect.Type) reflect.Type {
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
		kind = kind.Elem()
	}
	return kind
}

func memberName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}
