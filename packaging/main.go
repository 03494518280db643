// Command packaging builds what users install: archives, deb and rpm packages, a container image, wheels, checksums and
// software bills of materials. It needs Go and git, no root and no daemon. It is a module of its own, so that its libraries
// are not among the program's.
//
// Invariant: the same commit gives the same bytes. Every time in a file is the commit's, every list is sorted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run() error {
	root := flag.String("root", "..", "the repository")
	out := flag.String("out", "../dist", "the folder for what is built; it is emptied first")
	only := flag.String("targets", "", "build these only, as in linux/amd64,darwin/arm64")
	flag.Parse()
	targets, err := selectTargets(*only)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r, err := readRelease(ctx, *root)
	if err != nil {
		return err
	}
	fmt.Printf("trellis %s, commit %s of %s\n", r.Version, r.Commit, r.Time.Format(time.RFC3339))
	if err := errors.Join(os.RemoveAll(*out), os.MkdirAll(filepath.Join(*out, "programs"), 0o755)); err != nil {
		return err
	}
	if r.Help, err = readHelp(ctx, *root, r, filepath.Join(*out, "programs")); err != nil {
		return err
	}
	var images []program
	for _, t := range targets {
		fmt.Printf("building for %s\n", t)
		p, err := build(ctx, *root, r, t, filepath.Join(*out, "programs"))
		if err != nil {
			return err
		}
		if err := packProgram(r, p, *root, *out); err != nil {
			return fmt.Errorf("packing for %s: %w", t, err)
		}
		if t.OS == "linux" {
			images = append(images, p)
		}
	}
	if len(images) > 0 {
		if err := writeImage(r, images, filepath.Join(*out, r.fileName("oci.tar"))); err != nil {
			return fmt.Errorf("building the image: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(*out, "programs")); err != nil {
		return err
	}
	return writeChecksums(*out)
}

// packProgram writes everything that is made for one target.
func packProgram(r release, p program, root, out string) error {
	files, err := archiveFiles(r, p, root)
	if err != nil {
		return err
	}
	base := p.target.OS + "_" + p.target.Arch
	steps := []func() error{
		func() error { return writeArchive(r, p, files, filepath.Join(out, r.fileName(base))) },
		func() error { return writeWheel(r, p, out) },
		func() error { return writeSBOM(r, p, filepath.Join(out, r.fileName(base+".cdx.json"))) },
	}
	if p.target.OS == "linux" {
		steps = append(steps, func() error { return writeLinuxPackages(r, p, root, out) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// selectTargets returns the targets of a list, or all.
func selectTargets(list string) ([]target, error) {
	if list == "" {
		return allTargets, nil
	}
	var chosen []target
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, t := range allTargets {
			if t.String() == name {
				chosen, found = append(chosen, t), true
			}
		}
		if !found {
			return nil, fmt.Errorf("-targets: %q is not one of %v", name, allTargets)
		}
	}
	return chosen, nil
}
