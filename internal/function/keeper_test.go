package function

import (
	"errors"
	"os/exec"
	"testing"
)

func TestKeeperStartsNoKeeper(t *testing.T) {
	t.Setenv(keeperVariable, "mark.")
	_, err := startKeeper("mark.", func(*exec.Cmd) error {
		t.Error("a process was started")
		return nil
	})
	if !errors.Is(err, errNoKeep) {
		t.Errorf("error %v, want %v", err, errNoKeep)
	}
}
