package function

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// keeperVariable tells a process that it is a keeper. Its value is the mark of the processes that it must end.
const keeperVariable = "_TRELLIS_KEEPER"

// keeper is a process of this program that outlives the main one for a moment, however that ends, and kills the processes that
// functions have left running. Lines on its standard input tell it the process groups: "number" for one that has begun,
// "-number" for one that has ended. All methods may be called on nil, and do nothing then.
type keeper struct {
	cmd *exec.Cmd

	mu    sync.Mutex // mu guards the field below.
	lines io.WriteCloser
}

// errNoKeep is for programs that do not call Keep: each would start a keeper of its keeper, without end.
var errNoKeep = errors.New("a keeper cannot have one: the program must call function.Keep before all else")

func startKeeper(prefix string, start func(*exec.Cmd) error) (*keeper, error) {
	if _, isKeeper := os.LookupEnv(keeperVariable); isKeeper {
		return nil, errNoKeep
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), keeperVariable+"="+prefix)
	ownGroup(cmd) // a terminal's Ctrl-C must not reach it
	lines, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := start(cmd); err != nil {
		return nil, fmt.Errorf("starting a process that ends functions after this one: %w", err)
	}
	return &keeper{cmd: cmd, lines: lines}, nil
}

func (k *keeper) keep(group int)   { k.tell(group) }
func (k *keeper) forget(group int) { k.tell(-group) }

func (k *keeper) tell(group int) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	fmt.Fprintln(k.lines, group)
}

func (k *keeper) close() {
	if k == nil {
		return
	}
	_ = k.lines.Close()
	_ = k.cmd.Wait() // The keeper is gone, and has nothing left to do.
}

// Keep reports whether this process was started as a keeper. If so, it has done its work, and must end.
func Keep() bool {
	prefix, isKeeper := os.LookupEnv(keeperVariable)
	if !isKeeper {
		return false
	}
	groups := map[int]bool{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		group, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		switch {
		case err != nil:
		case group > 0:
			groups[group] = true
		default:
			delete(groups, -group)
		}
	}
	for group := range groups {
		killGroup(group)
	}
	killMarked(prefix)
	return true
}
