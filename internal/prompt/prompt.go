// Package prompt asks the operator before a command changes something on the machine.
package prompt

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrDeclined says that the operator declined.
var ErrDeclined = errors.New("declined")

// Confirm asks whether to go on, unless yes is set. It fails if nobody can answer, as in a script.
func Confirm(in io.Reader, out io.Writer, yes bool) error {
	if yes {
		return nil
	}
	fmt.Fprint(out, "Go on? [y/N] ")
	answer, err := bufio.NewReader(io.LimitReader(in, 1024)).ReadString('\n')
	if err != nil && answer == "" {
		fmt.Fprintln(out)
		return errors.New("nobody answers; --yes goes on without asking")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return ErrDeclined
}
