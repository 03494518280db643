package main

import (
	"context"
	"os"

	"trellis/internal/configuration"
	"trellis/internal/resolver"
)

// runDNS runs a command below `dns`, and returns the exit code.
func runDNS(name string, flags configuration.DNS) int {
	ctx := context.Background()
	switch name {
	case "dns install":
		return resolver.Install(flags.Install).Run(ctx, os.Stdin, os.Stdout, os.Stderr)
	case "dns uninstall":
		return resolver.Uninstall(flags.Uninstall).Run(os.Stdin, os.Stdout, os.Stderr)
	case "dns check":
		return resolver.Check(flags.Check).Run(ctx, os.Stdout, os.Stderr)
	}
	return resolver.Setup(flags.Setup).Run(ctx, os.Stdout, os.Stderr)
}
