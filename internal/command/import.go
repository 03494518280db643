package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"

	"trellis/internal/command/amazon"
)

// Import is the command `trellis import`. Its fields are the command's flags and arguments.
type Import struct {
	Admin   string   `name:"admin" env:"TRELLIS_ADMIN" default:"http://127.0.0.1:7601" help:"Admin port of the node."`
	Account string   `name:"account" env:"-" placeholder:"ID" help:"Account to store the network in (default: the file's)."`
	Region  string   `name:"region" env:"-" placeholder:"REGION" help:"Region to store it in (default: the file's). With --from-aws: Region to read (default: AWS_REGION or the profile's)."`
	FromAWS bool     `name:"from-aws" env:"-" help:"Read the network of an AWS account, or of AWS_ENDPOINT_URL_VPC_LATTICE, with the credentials of AWS's tools, and change nothing there."`
	Map     []string `name:"map" env:"-" sep:"none" placeholder:"TARGET=TARGET" help:"With --from-aws: where a target of AWS is here, as in 10.0.1.5:80=127.0.0.1:9001. May be given several times."`
	MapFile string   `name:"map-file" env:"-" placeholder:"FILE" help:"With --from-aws: a file of such lines."`
	To      string   `name:"to" env:"-" placeholder:"FILE" help:"With --from-aws: write the network to a file, or to - for standard output, and ask no node."`
	File    string   `arg:"" optional:"" name:"file" help:"What trellis export has written."`
}

// Run makes a node store the network of a file or of an AWS account, and returns the exit code.
func (c Import) Run(ctx context.Context, t Terminal) int {
	if err := c.run(ctx, t); err != nil {
		return t.Fail("import", err)
	}
	return 0
}

func (c Import) run(ctx context.Context, t Terminal) error {
	if c.FromAWS {
		return c.runFromAWS(ctx, t)
	}
	switch {
	case c.File == "":
		return &usageError{"give a file that trellis export has written, or --from-aws"}
	case len(c.Map) > 0 || c.MapFile != "" || c.To != "":
		return &usageError{"--map, --map-file and --to are for --from-aws"}
	}
	n, err := newNode(c.Admin, c.Account, c.Region)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.File)
	if err != nil {
		return &usageError{err.Error()}
	}
	if err := n.load(ctx, text, t); err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}

// runFromAWS reads the network of an AWS account, and sends it to the node or writes it to a file.
func (c Import) runFromAWS(ctx context.Context, t Terminal) error {
	switch {
	case c.File != "":
		return &usageError{"--from-aws reads no file; --to writes one"}
	case c.To != "" && c.Account != "":
		return &usageError{"--to writes the account as it is: give --account when the file is imported"}
	}
	mapping, err := c.mapping()
	if err != nil {
		return &usageError{err.Error()}
	}
	n, err := newNode(c.Admin, c.Account, "")
	if err != nil {
		return err
	}
	progress := NewProgress(t.Err)
	network, err := amazon.Read(ctx, amazon.Config{Region: c.Region, Mapping: mapping, Progress: progress.Show})
	progress.End()
	if errors.Is(err, amazon.ErrNoRegion) {
		return &usageError{err.Error()}
	}
	if err != nil {
		return fmt.Errorf("reading the account: %w", err)
	}
	switch c.To {
	case "":
		err = n.load(ctx, network.Document, t)
	case "-":
		_, err = t.Out.Write(network.Document)
	default:
		err = os.WriteFile(c.To, network.Document, 0o644)
	}
	if err != nil {
		return err
	}
	for _, note := range network.Notes {
		fmt.Fprintln(t.Err, "note:", note)
	}
	return nil
}

// mapping reads --map and --map-file.
func (c Import) mapping() (amazon.Mapping, error) {
	mapping := amazon.Mapping{}
	for _, text := range c.Map {
		if err := mapping.Add(text); err != nil {
			return nil, fmt.Errorf("--map %w", err)
		}
	}
	if c.MapFile == "" {
		return mapping, nil
	}
	file, err := os.Open(c.MapFile)
	if err != nil {
		return nil, fmt.Errorf("--map-file: %w", err)
	}
	defer file.Close()
	if err := mapping.Read(file); err != nil {
		return nil, fmt.Errorf("--map-file %s: %w", c.MapFile, err)
	}
	return mapping, nil
}

// load sends a document to the node, which stores it.
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
			return fmt.Errorf("the node's response is not a report of progress: %w", err)
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
	return errors.New("the node's response is incomplete: a part may be stored; import the document again to complete it")
}
