package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"trellis/internal/prompt"
	"trellis/internal/trust"
)

// Trust are the commands below `trellis trust`.
type Trust struct {
	Install   TrustInstall   `cmd:"" help:"Make the programs of this machine trust the local authority of a node: the system's store, Java's, Firefox's and Chrome's."`
	Uninstall TrustUninstall `cmd:"" help:"Remove from the stores what install has put there."`
}

// TrustInstall is the command `trellis trust install`. Its fields are the command's flags.
type TrustInstall struct {
	Admin string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node whose authority it is."`
	CA    string `name:"ca" env:"-" placeholder:"FILE" help:"The authority's ca.pem, instead of asking a node."`
	Yes   bool   `name:"yes" short:"y" env:"-" help:"Do not ask first."`
}

// Run makes the programs of this machine trust an authority, and returns the exit code: 1 if a store could not be changed.
func (c TrustInstall) Run(ctx context.Context, t Terminal) int {
	text, file, err := c.certificate(ctx)
	if err != nil {
		return t.Fail("trust install", err)
	}
	plan, err := trust.Install(ctx, text, file)
	if err != nil {
		return t.Fail("trust install", fmt.Errorf("%s: %w", file, err))
	}
	return carryOut(ctx, t, "trust install", plan, c.Yes)
}

// certificate returns the text of ca.pem, and a file with that text.
func (c TrustInstall) certificate(ctx context.Context) (text []byte, file string, err error) {
	if c.CA != "" {
		if text, err = os.ReadFile(c.CA); err != nil {
			return nil, "", fmt.Errorf("--ca: %w", err)
		}
		file, err = filepath.Abs(c.CA)
		return text, file, err
	}
	n, err := newNode(c.Admin, "", "")
	if err != nil {
		return nil, "", err
	}
	if text, err = n.get(ctx, "ca.pem", url.Values{}); err != nil {
		return nil, "", err
	}
	// The programs that change stores read a file, and some programs read the file later too.
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, "", fmt.Errorf("there is no directory to keep the certificate in; save %s/ca.pem, and pass the file with --ca: %w", c.Admin, err)
	}
	file = filepath.Join(cache, "trellis", "trusted-ca.pem")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, "", err
	}
	return text, file, os.WriteFile(file, text, 0o644)
}

// TrustUninstall is the command `trellis trust uninstall`. Its fields are the command's flags.
type TrustUninstall struct {
	Yes bool `name:"yes" short:"y" env:"-" help:"Do not ask first."`
}

// Run removes what TrustInstall has put into stores, of all authorities, and returns the exit code.
func (c TrustUninstall) Run(ctx context.Context, t Terminal) int {
	plan := trust.Uninstall(ctx)
	if len(plan.Steps) == 0 {
		fmt.Fprintln(t.Out, "No store has an authority of Trellis.")
	}
	return carryOut(ctx, t, "trust uninstall", plan, c.Yes)
}

// carryOut shows a plan, asks, and does it.
func carryOut(ctx context.Context, t Terminal, name string, plan *trust.Plan, yes bool) int {
	plan.Show(t.Out)
	if plan.Possible() > 0 {
		err := prompt.Confirm(os.Stdin, t.Out, yes)
		if errors.Is(err, prompt.ErrDeclined) {
			fmt.Fprintln(t.Out, "Nothing was changed.")
			return exitFailed
		}
		if err == nil {
			err = plan.Run(ctx, t.Out)
		}
		if err != nil {
			return t.Fail(name, err)
		}
		fmt.Fprintln(t.Out, "Done. Programs that are running have to be started again.")
	}
	for _, note := range plan.Notes {
		fmt.Fprintf(t.Out, "note: %s\n", note)
	}
	if plan.Possible() < len(plan.Steps) {
		return exitFailed
	}
	return 0
}
