package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"trellis/internal/prompt"
)

// followEvery is how often a node is asked for its names.
const followEvery = time.Second

// maxShown bounds the names that are shown before they are written.
const maxShown = 20

// Install is the command `trellis dns install`. Its fields are the command's flags.
type Install struct {
	Admin string
	Hosts string // "" is the system's.
	Once  bool
	Yes   bool
}

// Run writes names into the hosts file until ctx ends, and returns the exit code.
func (c Install) Run(ctx context.Context, in io.Reader, out, errOut io.Writer) int {
	if err := checkAdmin(c.Admin); err != nil {
		fmt.Fprintf(errOut, "trellis dns install: %v\n", err)
		return exitUsage
	}
	if c.Hosts == "" {
		c.Hosts = systemHosts()
	}
	err := c.install(ctx, in, out, errOut)
	switch {
	case errors.Is(err, prompt.ErrDeclined):
		fmt.Fprintln(out, "Nothing was changed.")
		return exitFailed
	case err != nil:
		fmt.Fprintf(errOut, "trellis dns install: %v\n", err)
		return exitFailed
	}
	return 0
}

func (c Install) install(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	names, err := readList(ctx, c.Admin)
	if err != nil {
		return err
	}
	file, path, err := readHosts(c.Hosts)
	if err != nil {
		return err
	}
	lines, left := hostsLines(names.Entries, file.others())
	c.announce(out, path, lines, left)
	if err := prompt.Confirm(in, out, c.Yes); err != nil {
		return err
	}
	// Only from here on: before, Ctrl-C must end the program at a question.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.write(names.Entries); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s has the names. `trellis dns uninstall` removes them.\n", path)
	if c.Once {
		return nil
	}
	fmt.Fprintln(out, "Following changes until interrupted.")
	return c.follow(ctx, errOut)
}

// announce says what is about to happen.
func (c Install) announce(out io.Writer, path string, lines, left []string) {
	fmt.Fprintf(out, "This writes %d lines into %s, in a block of its own, and leaves the rest as it is:\n", len(lines), path)
	for _, line := range lines[:min(len(lines), maxShown)] {
		fmt.Fprintln(out, "  "+line)
	}
	if len(lines) > maxShown {
		fmt.Fprintf(out, "  and %d more\n", len(lines)-maxShown)
	}
	if len(left) > 0 {
		fmt.Fprintf(out, "It leaves out names that the file has already, or that cannot stand there: %s\n", strings.Join(left[:min(len(left), maxShown)], ", "))
	}
	if !c.Once {
		fmt.Fprintf(out, "Until interrupted, it also writes the names that %s gets later.\n", c.Admin)
	}
}

// write makes the names the contents of the node's block.
func (c Install) write(entries []entry) error {
	file, path, err := readHosts(c.Hosts) // Again: others may have changed it.
	if err != nil {
		return err
	}
	lines, _ := hostsLines(entries, file.others())
	if !file.set(c.Admin, lines) {
		return nil
	}
	return replace(path, file.bytes())
}

// follow writes names as they change. While the node does not answer, its names stay.
func (c Install) follow(ctx context.Context, errOut io.Writer) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		names, err := readList(ctx, c.Admin)
		if err != nil {
			if !away && ctx.Err() == nil {
				fmt.Fprintf(errOut, "trellis dns install: the names stay as they are until the node is back: %v\n", err)
			}
			away = true
			continue
		}
		away = false
		if err := c.write(names.Entries); err != nil {
			return err
		}
	}
}

// Uninstall is the command `trellis dns uninstall`. Its fields are the command's flags.
type Uninstall struct {
	Hosts string // "" is the system's.
	Yes   bool
}

// Run removes what Install has written, for all nodes, and returns the exit code.
func (c Uninstall) Run(in io.Reader, out, errOut io.Writer) int {
	if c.Hosts == "" {
		c.Hosts = systemHosts()
	}
	err := c.uninstall(in, out)
	switch {
	case errors.Is(err, prompt.ErrDeclined):
		fmt.Fprintln(out, "Nothing was changed.")
		return exitFailed
	case err != nil:
		fmt.Fprintf(errOut, "trellis dns uninstall: %v\n", err)
		return exitFailed
	}
	return 0
}

func (c Uninstall) uninstall(in io.Reader, out io.Writer) error {
	file, path, err := readHosts(c.Hosts)
	if err != nil {
		return err
	}
	if len(file.blocks) == 0 {
		fmt.Fprintf(out, "%s has no names of Trellis.\n", path)
		return nil
	}
	for _, b := range file.blocks {
		fmt.Fprintf(out, "This removes %d lines of %s from %s.\n", len(b.lines), b.node, path)
	}
	if err := prompt.Confirm(in, out, c.Yes); err != nil {
		return err
	}
	if file, path, err = readHosts(c.Hosts); err != nil { // Again: others may have changed it.
		return err
	}
	file.blocks = nil
	if err := replace(path, file.bytes()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s is without them.\n", path)
	return nil
}
