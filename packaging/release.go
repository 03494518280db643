package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// release is the release that is being packed.
type release struct {
	// Version is a tag such as v1.2.3, or v0.0.0-TIME-COMMIT for a commit without one, as Go names such versions. A tree
	// with changes that are not committed has +dirty at the end.
	Version string
	Commit  string
	// Time is the commit's. All files in all packages have it.
	Time time.Time
	// Help is what the program says about its commands.
	Help help
}

func readRelease(ctx context.Context, root string) (release, error) {
	commit, err := git(ctx, root, "rev-parse", "HEAD")
	if err != nil {
		return release{}, err
	}
	text, err := git(ctx, root, "show", "-s", "--format=%ct", "HEAD")
	if err != nil {
		return release{}, err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return release{}, fmt.Errorf("the commit's time: %w", err)
	}
	r := release{Commit: commit, Time: time.Unix(seconds, 0).UTC()}
	if r.Version, err = git(ctx, root, "describe", "--tags", "--exact-match", "--match", "v[0-9]*", "HEAD"); err != nil {
		r.Version = fmt.Sprintf("v0.0.0-%s-%s", r.Time.Format("20060102150405"), commit[:12])
	}
	changes, err := git(ctx, root, "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return release{}, err
	}
	if changes != "" {
		r.Version += "+dirty"
	}
	return r, nil
}

func git(ctx context.Context, root string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// number is the version as packages have it, without the v.
func (r release) number() string { return strings.TrimPrefix(r.Version, "v") }

// fileName is that of a file of this release.
func (r release) fileName(rest string) string {
	separator := "_"
	if strings.HasPrefix(rest, ".") {
		separator = ""
	}
	return "trellis_" + r.number() + separator + rest
}

// pythonVersion is the version in the form of PEP 440. A commit without a tag is a development version by its time.
func (r release) pythonVersion() string {
	number, dirty := strings.CutSuffix(r.number(), "+dirty")
	if base, rest, found := strings.Cut(number, "-"); found {
		moment, _, _ := strings.Cut(rest, "-")
		number = base + ".dev" + moment
	}
	if dirty {
		number += "+dirty"
	}
	return number
}
