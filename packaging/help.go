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
		cmd.Env = []string{"COLUMNS=72"} // A man page indents it.
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
	names := namesIn(h.program)
	for len(names) > 0 {
		text, err := ask(strings.Fields(names[0])...)
		if err != nil {
			return help{}, err
		}
		below := namesIn(text)
		if len(below) == 0 {
			h.commands = append(h.commands, commandHelp{names[0], text})
		}
		names = append(below, names[1:]...)
	}
	return h, nil
}

// namesIn returns the names of the commands that a help lists.
func namesIn(text string) (names []string) {
	_, list, _ := strings.Cut(text, "Commands:")
	for _, match := range commandLine.FindAllStringSubmatch(list, -1) {
		names = append(names, match[1])
	}
	return names
}

// manPage returns trellis(1).
func (r release) manPage() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH TRELLIS 1 %q %q\n", r.Time.Format("2006-01-02"), "Trellis "+r.number())
	b.WriteString(manHead)
	_, commands, _ := strings.Cut(r.Help.program, "Commands:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	writeLiteral(&b, commands+"\n")
	b.WriteString(".SH FLAGS\n")
	for _, c := range r.Help.commands {
		fmt.Fprintf(&b, ".SS trellis %s\n", c.name)
		_, text, _ := strings.Cut(c.text, "\n\n") // Its usage is in the heading.
		writeLiteral(&b, text)
	}
	b.WriteString(manTail)
	return b.Bytes()
}

// What stands before and after the program's own help in the page.
const (
	manHead = `.SH NAME
trellis \- application network that speaks the Amazon VPC Lattice API
.SH SYNOPSIS
.B trellis
.I command
.RI [ flags ]
.SH DESCRIPTION
Trellis answers the operations of Amazon VPC Lattice, checks the health of targets and carries the traffic of services and
resources. Unchanged clients of AWS use it.
.PP
.B trellis dev
is for this machine and keeps nothing.
.B trellis serve
stores everything and checks signatures. The other commands ask a running node, or help with one.
.SH COMMANDS
`
	manTail = `.SH CONFIGURATION
Each flag of dev and serve can also be an environment variable, as in TRELLIS_API_ADDR, or a key of the file that
.B \-\-config
names, as in api\-addr. The command line counts before the environment, and that before the file.
.SH EXIT STATUS
0 after a requested stop, 1 after a failure, 2 if the command line cannot be used.
.B trellis status
ends with 1 if anything is wrong, and
.B trellis policy
has codes of its own.
.SH FILES
.TP
.I /etc/trellis/trellis.yaml
the configuration of trellis.service
.TP
.I /var/lib/trellis
what trellis.service stores: records, first credentials, the certificate authority, the audit log
.SH EXAMPLES
.nf
trellis dev \-\-demo
aws vpc\-lattice list\-services \-\-endpoint\-url http://127.0.0.1:7600
trellis export > network.yaml
.fi
.SH SEE ALSO
.I /usr/share/doc/trellis
`
)

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
