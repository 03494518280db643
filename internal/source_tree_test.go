package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sourceTree is what the rules look at: all text of the project, and its Go packages. It is read from the files rather
// than from `go list`, so that files behind build tags are seen too.
type sourceTree struct {
	files     []sourceFile
	packages  map[string]*goPackage // by folder, as in internal/api
	positions *token.FileSet
}

type sourceFile struct {
	path string // from the project's root, with slashes
	text string
	ast  *ast.File // of Go files, else nil
}

func (f sourceFile) isTest() bool      { return strings.HasSuffix(f.path, "_test.go") }
func (f sourceFile) isGenerated() bool { return f.ast != nil && ast.IsGenerated(f.ast) }
func (f sourceFile) lines() int        { return strings.Count(f.text, "\n") }

// imports returns the paths that the file imports, those of the project's own packages as folders.
func (f sourceFile) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // The parser accepted it.
		}
		paths = append(paths, strings.TrimPrefix(path, "trellis/"))
	}
	return paths
}

// goPackage is a folder's Go files that are not tests.
type goPackage struct {
	folder string
	name   string
	files  []sourceFile
}

// imports returns what the package's files import, each path once.
func (p *goPackage) imports() []string {
	var paths []string
	for _, f := range p.files {
		paths = append(paths, f.imports()...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// readSourceTree reads the project's folder, which is the parent of this package's.
func readSourceTree(t *testing.T) *sourceTree {
	t.Helper()
	root, err := os.OpenRoot("..")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()

	tree := &sourceTree{packages: map[string]*goPackage{}, positions: token.NewFileSet()}
	err = fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(path)
		}
		if !isSource(path) {
			return nil
		}
		text, err := root.ReadFile(path)
		if err != nil {
			return err
		}
		file := sourceFile{path: path, text: string(text)}
		if filepath.Ext(path) == ".go" {
			file.ast, err = parser.ParseFile(tree.positions, path, text, parser.ParseComments)
			if err != nil {
				return err
			}
		}
		tree.add(file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func (tree *sourceTree) add(file sourceFile) {
	tree.files = append(tree.files, file)
	if file.ast == nil || file.isTest() {
		return
	}
	folder := filepath.ToSlash(filepath.Dir(file.path))
	p := tree.packages[folder]
	if p == nil {
		p = &goPackage{folder: folder, name: file.ast.Name.Name}
		tree.packages[folder] = p
	}
	p.files = append(p.files, file)
}

// skipFolder leaves out what is not the project's own text: hidden folders (.git, .venv), build results, and what
// package managers and running servers put down.
func skipFolder(path string) error {
	switch name := filepath.Base(path); {
	case path == ".":
		return nil
	case strings.HasPrefix(name, "."), path == "bin", path == "dist", name == "node_modules", name == "trellis-data":
		return fs.SkipDir
	}
	return nil
}

// isSource reports whether a file is written by hand or generated from the model: code, scripts and test transcripts.
func isSource(path string) bool {
	switch filepath.Ext(path) {
	case ".go", ".py", ".js", ".mjs", ".sh", ".txt", ".yaml":
		return true
	}
	return filepath.Base(path) == "Makefile"
}

// readProjectFile returns the text of a file, by its path from the project's root.
func readProjectFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
