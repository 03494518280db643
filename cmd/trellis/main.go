// Command trellis is an application network that speaks the Amazon VPC Lattice API and carries the traffic.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"trellis/internal/accesslog/tail"
	"trellis/internal/configuration"
	"trellis/internal/function"
	"trellis/internal/policy/simulator"
	"trellis/internal/server"
)

// The exit codes other than 0, with which the program ends when it is asked to stop.
const (
	exitFailed = 1
	exitUsage  = 2
)

// The linker sets these in packages (packaging/build.go).
var release, commit, date string

func main() { os.Exit(run()) }

func run() int {
	if function.Keep() {
		return 0
	}
	command, err := configuration.Parse(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, configuration.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "trellis: %v\n", err)
		return exitUsage
	}
	build := server.ReadBuild(release, commit, date)
	switch command.Name {
	case "version":
		fmt.Println(build)
		return 0
	case "status", "explain", "export", "import", "backup", "restore", "trust install", "trust uninstall":
		return runNode(command)
	case "logs":
		return tail.Command(command.Logs).RunUntilInterrupted(os.Stdout, os.Stderr)
	case "dns install", "dns uninstall", "dns check", "dns setup":
		return runDNS(command.Name, command.DNS)
	case "policy test":
		return simulator.Test(command.PolicyTest).Run(os.Stdout, os.Stderr)
	case "policy lint":
		return simulator.Lint(command.PolicyLint).Run(os.Stdout, os.Stderr)
	}

	log := server.NewLogger(command.Configuration.Common, os.Stderr)
	for _, warning := range command.Warnings {
		log.Warn(warning)
	}
	ending := []os.Signal{os.Interrupt, syscall.SIGTERM}
	reload := make(chan os.Signal, 1)
	switch {
	case !command.Configuration.Dev:
		signal.Notify(reload, syscall.SIGHUP)
	case !signal.Ignored(syscall.SIGHUP): // nohup ignores it
		ending = append(ending, syscall.SIGHUP) // the terminal is closed
	}
	ctx, stop := signal.NotifyContext(context.Background(), ending...)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	upgrade := make(chan os.Signal, 1)
	if signals := server.UpgradeSignals(); len(signals) > 0 { // Without a signal in the list, signal.Notify would deliver all.
		signal.Notify(upgrade, signals...)
	}
	err = server.Run(ctx, server.Config{
		Configuration: command.Configuration,
		Version:       build.Version,
		Upgrade:       upgrade,
		Reload:        reload,
		Out:           os.Stdout,
		Log:           log,
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "trellis: %v\n", err)
		return exitFailed
	}
	return 0
}
