package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// Import is the command `trellis import`. Its fields are the command's flags and arguments.
type Import struct {
	Admin   string `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Account string `name:"account" env:"-" placeholder:"ID" help:"Whose network it becomes (default: the file's)."`
	Region  string `name:"region" env:"-" placeholder:"REGION" help:"In which Region (default: the file's)."`
	File    string `arg:"" name:"file" help:"What trellis export has written."`
}

// Run has a node store the network of a file, and returns the exit code.
func (c Import) Run(ctx context.Context, t Terminal) int {
	n, err := newNode(c.Admin, c.Account, c.Region)
	if err != nil {
		return t.Fail("import", err)
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return t.Fail("import", &usageError{err.Error()})
	}
	if err := n.load(ctx, text, t); err != nil {
		return t.Fail("import", fmt.Errorf("%s: %w", c.File, err))
	}
	return 0
}

// load has the node store a document.
func (n *node) load(ctx context.Context, document []byte, t Terminal) error {
	body, _, err := n.send(ctx, "POST", "import", url.Values{}, document)
	if err != nil {
		return err
	}
	defer body.Close()
	progress := NewProgress(t.Err)
	defer progress.End()
	for lines := bufio.NewScanner(body); lines.Scan(); {
		var line struct {
			Done, Total     int
			Count           *int
			Account, Region string
			Error           string
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("the node's answer is not a report of progress: %w", err)
		}
		switch {
		case line.Error != "":
			return errors.New(line.Error)
		case line.Count != nil:
			progress.End()
			fmt.Fprintf(t.Out, "%d records of account %s in %s are stored\n", *line.Count, line.Account, line.Region)
			return nil
		}
		progress.Show("import: %d of %d records", line.Done, line.Total)
	}
	return errors.New("the node's answer has no end: a part may be stored; import the document again to complete it")
}
