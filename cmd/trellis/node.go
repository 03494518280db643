package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"trellis/internal/command"
	"trellis/internal/configuration"
	"trellis/internal/server"
)

// runNode runs a command that asks a running node, or fills its store, and returns the exit code.
func runNode(c configuration.Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	t := command.Terminal{Out: os.Stdout, Err: os.Stderr}
	if c.Runner != nil {
		return c.Runner.Run(ctx, t)
	}
	progress := command.NewProgress(t.Err)
	count, err := server.Restore(ctx, c.Backup, c.Configuration, progress.Records("restore"), server.NewLogger(configuration.Common{LogLevel: "warn"}, os.Stderr))
	progress.End()
	if err != nil {
		return t.Fail("restore", err)
	}
	fmt.Fprintf(t.Out, "%d records are restored\n", count)
	return 0
}
