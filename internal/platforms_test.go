package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// Packages are made for these platforms, besides the one that the tests run on (docs/packages.md). Their types are checked here:
// to build the program for another platform takes five minutes of CPU time where nothing is cached.
func TestProgramIsWellTypedOnEveryPlatform(t *testing.T) {
	for _, platform := range []struct{ os, arch string }{{"linux", "arm64"}, {"darwin", "arm64"}, {"windows", "amd64"}} {
		t.Run(platform.os, func(t *testing.T) {
			t.Parallel()
			loaded, err := packages.Load(&packages.Config{
				Mode:    packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesSizes,
				Context: t.Context(), Dir: "..",
				Env:       append(os.Environ(), "CGO_ENABLED=0", "GOOS="+platform.os, "GOARCH="+platform.arch, "GOFLAGS="),
				ParseFile: parseOwnBodies(t),
			}, "trellis/cmd/trellis")
			if err != nil {
				t.Fatal(err)
			}
			own := 0
			packages.Visit(loaded, nil, func(p *packages.Package) {
				if isOwn := p.PkgPath == "trellis" || strings.HasPrefix(p.PkgPath, "trellis/"); !isOwn {
					return
				}
				own++
				for _, err := range p.Errors {
					t.Error(err)
				}
			})
			if own < 20 {
				t.Errorf("only %d packages of the project were checked", own)
			}
		})
	}
}

// parseOwnBodies returns a parser that leaves out the bodies of other modules' functions: they are not ours to mend, and would
// take most of the time.
func parseOwnBodies(t *testing.T) func(*token.FileSet, string, []byte) (*ast.File, error) {
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root = strings.TrimSuffix(root, "internal")
	return func(positions *token.FileSet, name string, source []byte) (*ast.File, error) {
		file, err := parser.ParseFile(positions, name, source, parser.SkipObjectResolution)
		if err != nil || strings.HasPrefix(name, root) {
			return file, err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				f.Body = nil
			}
		}
		return file, err
	}
}
