package clients_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// maxExposure is what systemd may find open in the unit, in tenths: 0 is nothing, 100 everything.
const maxExposure = "20"

func TestSystemdFindsNoFaultWithTheUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd here")
	}
	text, err := os.ReadFile("../../deploy/trellis.service")
	if err != nil {
		t.Fatal(err)
	}
	const installed = "/usr/local/bin/trellis"
	if !strings.Contains(string(text), "ExecStart="+installed+" ") {
		t.Fatalf("the unit does not start %s", installed)
	}
	unit := filepath.Join(t.TempDir(), "trellis.service")
	writeFile(t, unit, strings.ReplaceAll(string(text), installed, trellistest.Build(t)))
	for _, args := range [][]string{{"verify", "--man=no", unit}, {"security", "--offline=yes", "--no-pager", "--threshold=" + maxExposure, unit}} {
		out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, out)
		}
	}
}
