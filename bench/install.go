package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are the Debian packages of the programs that the data plane's measurements need.
var packages = map[string]string{
	"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk", "taskset": "util-linux", "h2load": "nghttp2-client", "caddy": "caddy",
}

// ensureInstalled installs the missing programs if it runs as root on Debian or a derivative, and otherwise names them.
func ensureInstalled(ctx context.Context, programs ...string) error {
	var missing []string
	for _, program := range programs {
		if find(program) == "" {
			missing = append(missing, packages[program])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 || find("apt-get") == "" {
		return fmt.Errorf("please install %s (Debian: apt-get install %[1]s)", strings.Join(missing, " "))
	}
	progress("installing %s", strings.Join(missing, " "))
	for _, args := range [][]string{
		{"update", "-qq"},
		append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		// policy-rc.d would also keep Debian from starting the services that it installs, but it would have to be removed
		// again.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// find returns the path of a program, or "". Debian puts servers where an ordinary user's PATH does not lead.
func find(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	path := filepath.Join("/usr/sbin", program)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return ""
}
