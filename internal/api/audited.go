package api

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"trellis/internal/audit"
	"trellis/internal/shape"
)

// record tells the audit log of a call that may have changed something. Calls without a known caller are left out: they
// change nothing, and anybody could fill the log with them.
func (c *apiCall) record(status int, errorCode string) {
	if c.cfg.Audit == nil || !c.authenticated || !c.operation.mutates {
		return
	}
	entry := audit.Entry{
		Time: c.started, RequestID: c.caller.RequestID,
		Account: c.caller.Account, Region: c.caller.Region, Principal: c.caller.Principal,
		AccessKeyID: c.caller.AccessKeyID, SourceIP: c.caller.SourceIP,
		Operation: c.operation.name, Parameters: identifying(c.input),
		Status: status, ErrorCode: errorCode,
		DurationMS: float64(time.Since(c.started).Microseconds()) / 1000,
	}
	if errorCode == "" {
		entry.ID, entry.ARN = outputText(c.output, "Id"), outputText(c.output, "Arn")
	}
	c.cfg.Audit.Record(entry)
}

// identifying returns the members of an input that say what the call is about: names, identifiers, ARNs, the addresses of
// targets and the keys of tags. The audit log has nothing else of an input, and no policy in particular.
func identifying(input any) map[string]any {
	v := reflect.ValueOf(input)
	if !v.IsValid() {
		return nil
	}
	v = v.Elem()
	parameters := map[string]any{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		field := v.Field(i)
		if field.IsZero() {
			continue
		}
		switch {
		case name == "tags":
			parameters["tagKeys"] = slices.Sorted(maps.Keys(field.Interface().(map[string]string)))
		case name == "targets":
			parameters[name] = targetNames(field.Interface())
		case name == "rules":
			parameters["ruleIdentifiers"] = ruleIdentifiers(field.Interface())
		case isIdentifying(name) && field.Kind() == reflect.Pointer:
			parameters[name] = field.Elem().Interface()
		case isIdentifying(name):
			parameters[name] = field.Interface()
		}
	}
	return parameters
}

func isIdentifying(name string) bool {
	for _, end := range []string{"name", "Name", "Identifier", "Identifiers", "Arn", "Ids", "tagKeys"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// targetNames returns targets as id:port.
func targetNames(targets any) []string {
	list, _ := targets.([]shape.Target)
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = *t.Id
		if t.Port != nil {
			names[i] += ":" + strconv.Itoa(int(*t.Port))
		}
	}
	return names
}

func ruleIdentifiers(rules any) []string {
	list, _ := rules.([]shape.RuleUpdate)
	identifiers := make([]string, len(list))
	for i, r := range list {
		identifiers[i] = *r.RuleIdentifier
	}
	return identifiers
}

// outputText returns a member of an output, or nothing if the output has no such member.
func outputText(output any, member string) string {
	v := reflect.ValueOf(output)
	if !v.IsValid() {
		return ""
	}
	field := v.Elem().FieldByName(member)
	if !field.IsValid() {
		return ""
	}
	if text, ok := field.Interface().(*string); ok && text != nil {
		return *text
	}
	return ""
}
