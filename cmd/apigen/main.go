// Command apigen writes the generated Go code and the coverage page from the VPC Lattice API model
// that botocore ships. Building and testing the project does not need it.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	dataDir := flag.String("model", "", "botocore's data directory, as in .venv/lib/python3.11/site-packages/botocore/data")
	root := flag.String("root", ".", "the project's root, below which the files are written")
	check := flag.Bool("check", false, "write nothing, and fail if a file differs from what would be written")
	flag.Parse()
	if err := run(*dataDir, *root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "apigen:", err)
		os.Exit(1)
	}
}

func run(dataDir, root string, check bool) error {
	m, err := readModel(dataDir)
	if err != nil {
		return err
	}
	files, err := generate(m, root)
	if err != nil {
		return err
	}
	if check {
		return compare(files, root)
	}
	for _, name := range sortedKeys(files) {
		if err := os.WriteFile(filepath.Join(root, name), files[name], 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// generate returns the content of every generated file by its name below the root.
func generate(m *model, root string) (map[string][]byte, error) {
	if err := m.checkTypes(); err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"internal/api/operations_gen.go":         m.writeOperations(),
		"internal/api/apitest/operations_gen.go": m.writeFake(),
		"internal/api/bounds/bounds_gen.go":      m.writeBounds(),
		"internal/shape/shape_gen.go":            m.writeShapes(),
	}
	var err error
	if files["internal/api/decode_gen.go"], err = m.writeDecoders(); err != nil {
		return nil, err
	}
	if files["internal/api/route_gen.go"], err = m.writeRoutes(); err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(files) {
		if files[name], err = format.Source(files[name]); err != nil {
			return nil, fmt.Errorf("formatting %s: %w", name, err)
		}
	}
	files["docs/coverage.md"] = m.writeCoverage()
	return files, nil
}

// compare returns an error that names the files which differ from what was generated.
func compare(files map[string][]byte, root string) error {
	var stale []string
	for _, name := range sortedKeys(files) {
		committed, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("comparing: %w", err)
		}
		if !bytes.Equal(committed, files[name]) {
			stale = append(stale, name)
		}
	}
	if len(stale) > 0 {
		return fmt.Errorf("not what the model says, run make generate: %s", strings.Join(stale, ", "))
	}
	return nil
}
