package command

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
)

// Status is the command `trellis status`. Its fields are the command's flags.
type Status struct {
	Admin string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	JSON  bool   `name:"json" env:"-" help:"Print it as JSON."`
}

// Help implements kong.HelpProvider.
func (Status) Help() string {
	return "The exit code is 1 if anything is wrong, or no node answers."
}

// Run shows what runs where and what is wrong. It returns the exit code: 0 if nothing is wrong, 1 if something is wrong or no node
// answers.
func (c Status) Run(ctx context.Context, t Terminal) int {
	n, err := newNode(c.Admin, "", "")
	if err != nil {
		return t.Fail("status", err)
	}
	text, err := n.get(ctx, "status", url.Values{})
	if err != nil {
		return t.Fail("status", err)
	}
	var status struct {
		Version, Mode, API, Admin, DNS, Store string
		PID                                   int
		Ports                                 []struct {
			Port      int
			Address   string
			Listeners []string
		}
		Records, Targets map[string]int
		Problems         []struct{ Text string }
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return t.Fail("status", fmt.Errorf("the node's response is not a status: %w", err))
	}
	code := 0
	if len(status.Problems) > 0 {
		code = exitFailed
	}
	if c.JSON {
		fmt.Fprintf(t.Out, "%s", text)
		return code
	}
	for _, p := range status.Problems {
		fmt.Fprintf(t.Out, "!  %s\n", p.Text)
	}
	if len(status.Problems) > 0 {
		fmt.Fprintln(t.Out)
	}
	table := tabwriter.NewWriter(t.Out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("Trellis", "%s (%s), process %d", status.Version, status.Mode, status.PID)
	row("API", "%s", status.API)
	row("admin", "%s", status.Admin)
	if status.DNS != "" {
		row("names", "%s (DNS)", status.DNS)
	}
	row("store", "%s", status.Store)
	for _, p := range status.Ports {
		row(fmt.Sprint("port ", p.Port), "%s, listeners: %d", p.Address, len(p.Listeners))
	}
	row("stored", "%s", counts(status.Records))
	row("targets", "%s", counts(status.Targets))
	_ = table.Flush() // It fails only if the reader is gone.
	return code
}

// counts returns numbers with their names as one text.
func counts(of map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprint(name, ": ", of[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
