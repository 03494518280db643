package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// target is an operating system and an architecture, in Go's words.
type target struct{ OS, Arch string }

func (t target) String() string { return t.OS + "/" + t.Arch }

// allTargets are the targets of releases.
var allTargets = []target{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}, {"windows", "amd64"},
}

// program is a built binary.
type program struct {
	target target
	path   string
}

// name is that of the program's file when it is installed.
func (p program) name() string {
	if p.target.OS == "windows" {
		return "trellis.exe"
	}
	return "trellis"
}

// build compiles the program for a target. The binary does not depend on the machine or the folder in which it is built.
func build(ctx context.Context, root string, r release, t target, folder string) (program, error) {
	path, err := filepath.Abs(filepath.Join(folder, "trellis_"+t.OS+"_"+t.Arch))
	if err != nil {
		return program{}, err
	}
	flags := fmt.Sprintf("-s -w -buildid= -X main.release=%s -X main.commit=%s -X main.date=%s", r.Version, r.Commit, r.Time.Format(time.RFC3339))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", path, "./cmd/trellis")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+t.OS, "GOARCH="+t.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return program{}, fmt.Errorf("building for %s: %w", t, err)
	}
	return program{target: t, path: path}, nil
}
