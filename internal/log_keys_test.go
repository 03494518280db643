package internal_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The table of CONTRIBUTING.md that lists the keys of log attributes, and a row of it.
const logKeysHeading = "| log key |"

var logKeyRow = regexp.MustCompile("^\\| ((?:`[A-Za-z]+`(?:, )?)+) \\|")

// With one spelling for each thing, one search finds a request, a target or a port in the log of every part.
func TestLogKeysAreThoseOfTheList(t *testing.T) {
	tree := readSourceTree(t)
	listed := readLogKeys(t)
	used := map[string]bool{}
	for _, f := range tree.files {
		if f.ast == nil || f.isTest() || !strings.HasPrefix(f.path, "internal/") && !strings.HasPrefix(f.path, "cmd/trellis/") {
			continue
		}
		ast.Inspect(f.ast, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			for _, key := range logKeys(call) {
				used[key.Value] = true
				if name, err := strconv.Unquote(key.Value); err != nil || !listed[name] {
					t.Errorf("%s logs the key %s, which the list in CONTRIBUTING.md does not have; use one of the list, or add it there",
						tree.positions.Position(key.Pos()), key.Value)
				}
			}
			return true
		})
	}
	for name := range listed {
		if !used[strconv.Quote(name)] {
			t.Errorf("CONTRIBUTING.md lists the log key %s, which nothing logs", name)
		}
	}
}

// logKeys returns the keys among the arguments of a call, if it writes to a log or makes an attribute for one.
func logKeys(call *ast.CallExpr) (keys []*ast.BasicLit) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return nil
	}
	of := ""
	switch x := method.X.(type) {
	case *ast.Ident:
		of = x.Name
	case *ast.SelectorExpr:
		of = x.Sel.Name
	}
	first := 0
	switch method.Sel.Name {
	case "With":
	case "Debug", "Info", "Warn", "Error":
		first = 1 // after the message
	case "Log":
		first = 3 // after the context, the level and the message
	case "Happened": // of a Summary
		first, of = 1, "log" // the arguments after the count
	case "String", "Int", "Int64", "Uint64", "Bool", "Duration", "Time", "Any", "Group":
		if of != "slog" || len(call.Args) == 0 {
			return nil
		}
		if key, ok := call.Args[0].(*ast.BasicLit); ok {
			return []*ast.BasicLit{key}
		}
		return nil
	default:
		return nil
	}
	if !strings.EqualFold(of, "log") {
		return nil
	}
	for i := first; i < len(call.Args); i++ {
		if key, ok := call.Args[i].(*ast.BasicLit); ok && key.Kind == token.STRING {
			keys = append(keys, key)
			i++ // the value after the key
		}
	}
	return keys
}

func readLogKeys(t *testing.T) map[string]bool {
	t.Helper()
	_, table, found := strings.Cut(readProjectFile(t, "CONTRIBUTING.md"), logKeysHeading)
	if !found {
		t.Fatalf("CONTRIBUTING.md has no table that begins with %q", logKeysHeading)
	}
	listed := map[string]bool{}
	for i, line := range strings.Split(table, "\n") {
		if i < 2 {
			continue // the rest of the heading
		}
		row := logKeyRow.FindStringSubmatch(line)
		if row == nil {
			break
		}
		for _, key := range strings.Split(row[1], ", ") {
			listed[strings.Trim(key, "`")] = true
		}
	}
	return listed
}
