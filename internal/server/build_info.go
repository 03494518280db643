package server

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Build says what the program was built from.
type Build struct {
	Version string // a tag, or what Go calls a commit without one
	Commit  string
	Date    string // the commit's
}

// ReadBuild returns its arguments, which the linker sets in packages, or else what Go has noted in the program.
func ReadBuild(release, commit, date string) Build {
	b := Build{Version: release, Commit: commit, Date: date}
	info, ok := debug.ReadBuildInfo()
	if !ok || release != "" {
		b.Version = cmp.Or(b.Version, "development")
		return b
	}
	if info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Commit = setting.Value
		case "vcs.time":
			b.Date = setting.Value
		}
	}
	b.Version = cmp.Or(b.Version, b.Commit, "development")
	return b
}

// String returns what trellis version prints.
func (b Build) String() string {
	return fmt.Sprintf("trellis %s\ncommit  %s\ndate    %s\nbuilt   %s for %s/%s", b.Version, cmp.Or(b.Commit, "unknown"), cmp.Or(b.Date, "unknown"),
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
