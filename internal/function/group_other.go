//go:build !unix

package function

import (
	"errors"
	"os/exec"
)

// errNoGroups says why no program runs here: its children could not be ended with it.
var errNoGroups = errors.New("functions run on Unix only; give the function an endpoint instead of a command")

func isolate(*exec.Cmd) error { return errNoGroups }

func ownGroup(*exec.Cmd) {}

func killGroup(int) {}

func killMarked(string) {}

func waitFor(*exec.Cmd, func()) {}

func readNow(uintptr, []byte) (int, error) { return 0, errNoGroups }
