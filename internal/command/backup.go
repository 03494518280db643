package command

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
)

// Backup is the command `trellis backup`. Its fields are the command's flags and arguments.
type Backup struct {
	Admin string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	File  string `arg:"" name:"file" help:"The file to write."`
}

// Run writes all that a node has stored to a file, and returns the exit code. The file appears when it is complete, and only its
// owner may read it, since it has temporary credentials.
func (c Backup) Run(ctx context.Context, t Terminal) int {
	n, err := newNode(c.Admin, "", "")
	if err != nil {
		return t.Fail("backup", err)
	}
	body, size, err := n.send(ctx, "GET", "backup", url.Values{}, nil)
	if err != nil {
		return t.Fail("backup", err)
	}
	defer body.Close()
	file, err := os.CreateTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+".") // CreateTemp creates it with mode 0600.
	if err != nil {
		return t.Fail("backup", err)
	}
	defer os.Remove(file.Name()) // This does nothing once the file has been renamed.
	progress := NewProgress(t.Err)
	defer progress.End()
	written, err := io.Copy(file, &reader{body, progress, "backup", 0, size})
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), c.File)
	}
	if err != nil {
		return t.Fail("backup", err)
	}
	fmt.Fprintf(t.Out, "%s has %d bytes; trellis restore brings them back\n", c.File, written)
	return 0
}
