// Command apigen writes the generated Go code and the coverage page from the VPC Lattice API model
// that botocore ships. Building and testing the project does not need it.
package main

import (
	"flag"
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

func main() {
	dataDir := flag.String("model", "", "botocore's data directory, as in .venv/lib/python3.11/site-packages/botocore/data")
	root := flag.String("root", ".", "the project's root, below which the files are written")
	flag.Parse()
	if err := run(*dataDir, *root); err != nil {
		fmt.Fprintln(os.Stderr, "apigen:", err)
		os.Exit(1)
	}
}

func run(dataDir, root string) error {
	m, err := readModel(dataDir)
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"internal/api/operations_gen.go": m.writeOperations(),
		"internal/shape/shape_gen.go":    m.writeShapes(),
	}
	for _, name := range sortedKeys(files) {
		formatted, err := format.Source(files[name])
		if err != nil {
			return fmt.Errorf("formatting %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(root, name), formatted, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
