package trellistest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// root is the folder of the repository: the first one with a go.mod, from the folder in which go test starts the tests upwards. What
// the compiler records of it is no path of this machine with -trimpath. It is found before a test can change the folder.
var root, errRoot = findRoot()

func findRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for folder := start; ; folder = filepath.Dir(folder) {
		_, err := os.Stat(filepath.Join(folder, "go.mod"))
		if err == nil {
			return folder, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if folder == filepath.Dir(folder) {
			return "", fmt.Errorf("neither %s nor a folder above it has a go.mod", start)
		}
	}
}
