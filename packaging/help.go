package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// help is what the program says about its commands, from which the man page is made.
type help struct {
	program  string
	commands []commandHelp
}

type commandHelp struct{ name, text string }

// commandLine is a line of the program's help that begins with the name of a command, which may have two words.
var commandLine = regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  +[A-Z]`)

// readHelp builds the program for this machine and asks it.
func readHelp(ctx context.Context, root string, r release, folder string) (help, error) {
	own, err := build(ctx, root, r, target{runtime.GOOS, runtime.GOARCH}, folder)
	if err != nil {
		return help{}, err
	}
	ask := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, own.path, append([]string{"help"}, args...)...)
		cmd.Env = []string{"COLUMNS=80"}
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("asking for help: %w", err)
		}
		return string(out), nil
	}
	var h help
	if h.program, err = ask(); err != nil {
		return help{}, err
	}
	_, list, _ := strings.Cut(h.program, "Commands:")
	for _, match := range commandLine.FindAllStringSubmatch(list, -1) {
		name := match[1]
		text, err := ask(strings.Fields(name)...)
		if err != nil {
			return help{}, err
		}
		h.commands = append(h.commands, commandHelp{name, text})
	}
	return h, nil
}

// manPage returns trellis(1).
func (r release) manPage() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH TRELLIS 1 %q %q\n", r.Time.Format("2006-01-02"), "Trellis "+r.number())
	b.WriteString(".SH NAME\ntrellis \\- application network that speaks the Amazon VPC Lattice API\n.SH SYNOPSIS\n")
	writeLiteral(&b, r.Help.program)
	for _, c := range r.Help.commands {
		fmt.Fprintf(&b, ".SH %s\n", strings.ToUpper(c.name))
		writeLiteral(&b, c.text)
	}
	return b.Bytes()
}

// writeLiteral writes text that keeps its lines.
func writeLiteral(b *bytes.Buffer, text string) {
	b.WriteString(".nf\n")
	for line := range strings.Lines(text) {
		line = strings.ReplaceAll(strings.ReplaceAll(line, `\`, `\e`), "-", `\-`)
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		b.WriteString(line)
	}
	b.WriteString(".fi\n")
}
