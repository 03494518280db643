package command

import (
	"context"
	"io"
	"net/url"
)

// Export is the command `trellis export`. Its fields are the command's flags.
type Export struct {
	Admin   string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Account string `name:"account" env:"-" placeholder:"ID" help:"Account whose network to write (default: the node's --account)."`
	Region  string `name:"region" env:"-" placeholder:"REGION" help:"Region of the network (default: the node's --region)."`
}

// Run writes the network of an account in a Region, and returns the exit code.
func (c Export) Run(ctx context.Context, t Terminal) int {
	n, err := newNode(c.Admin, c.Account, c.Region)
	if err != nil {
		return t.Fail("export", err)
	}
	body, size, err := n.send(ctx, "GET", "export", url.Values{}, nil)
	if err != nil {
		return t.Fail("export", err)
	}
	defer body.Close()
	progress := NewProgress(t.Err)
	defer progress.End()
	if _, err := io.Copy(t.Out, &reader{body, progress, "export", 0, size}); err != nil {
		return t.Fail("export", err)
	}
	return 0
}
