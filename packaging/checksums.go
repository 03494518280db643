package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// writeChecksums writes SHA256SUMS of all files in a folder, for sha256sum --check.
func writeChecksums(folder string) error {
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(folder, "SHA256SUMS"), func(w io.Writer) error {
		for _, entry := range entries {
			data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(w, "%x  %s\n", sha256.Sum256(data), entry.Name()); err != nil {
				return err
			}
		}
		return nil
	})
}
