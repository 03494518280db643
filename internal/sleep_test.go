package internal_test

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// sleepReason begins the comment on the line of a sleep that is what the test is about: the pace of a client or a target,
// a measurement's length, a clock of another program. A sleep that waits for something to happen has no such reason.
const sleepReason = "// Sleeps: "

// A test that sleeps until something has happened is slow on every machine, and fails on one that is busy.
func TestTestsDoNotSleepToLetSomethingHappen(t *testing.T) {
	tree := readSourceTree(t)
	bubbles := bubbleMakers(tree)
	for _, f := range tree.files {
		if f.ast == nil || !f.isTest() && !strings.HasPrefix(f.path, "test/") {
			continue
		}
		lines := strings.Split(f.text, "\n")
		for _, at := range sleeps(f.ast, bubbles) {
			line := tree.positions.Position(at).Line
			if _, reason, _ := strings.Cut(lines[line-1], sleepReason); strings.TrimSpace(reason) == "" {
				t.Errorf("%s:%d sleeps outside a bubble of testing/synctest; wait for what is to come, as with trellistest.Await, "+
					"or end the line with %q and why the sleep itself is what the test needs", f.path, line, sleepReason)
			}
		}
	}
}

// bubbleMakers returns the functions that run what they are given in a bubble, where time is synctest's.
func bubbleMakers(tree *sourceTree) map[string]bool {
	makers := map[string]bool{"synctest.Test": true}
	for _, f := range tree.files {
		if f.ast == nil || !f.isTest() {
			continue
		}
		for _, decl := range f.ast.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && !strings.HasPrefix(function.Name.Name, "Test") && calls(function, "synctest.Test") {
				makers[function.Name.Name] = true
			}
		}
	}
	return makers
}

// sleeps returns where a node sleeps outside bubbles, by time.Sleep or by receiving from time.After and nothing else. A
// function that calls synctest.Wait can only be called in a bubble.
func sleeps(within ast.Node, bubbles map[string]bool) (at []token.Pos) {
	ast.Inspect(within, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.FuncDecl:
			return !calls(node, "synctest.Wait") || strings.HasPrefix(node.Name.Name, "Test")
		case *ast.CallExpr:
			if bubbles[nameOf(node.Fun)] {
				return false
			}
			if nameOf(node.Fun) == "time.Sleep" {
				at = append(at, node.Pos())
			}
		case *ast.CommClause: // A case of a select.
			for _, statement := range node.Body {
				at = append(at, sleeps(statement, bubbles)...)
			}
			return false
		case *ast.UnaryExpr:
			if call, ok := node.X.(*ast.CallExpr); ok && node.Op == token.ARROW && nameOf(call.Fun) == "time.After" {
				at = append(at, node.Pos())
			}
		}
		return true
	})
	return at
}

// calls reports whether a function calls another one.
func calls(function ast.Node, name string) (found bool) {
	ast.Inspect(function, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		found = found || ok && nameOf(call.Fun) == name
		return !found
	})
	return found
}

// nameOf returns the name of a function as it is called, as in time.Sleep or inBubble.
func nameOf(function ast.Expr) string {
	switch function := function.(type) {
	case *ast.Ident:
		return function.Name
	case *ast.SelectorExpr:
		if of, ok := function.X.(*ast.Ident); ok {
			return of.Name + "." + function.Sel.Name
		}
	}
	return ""
}
