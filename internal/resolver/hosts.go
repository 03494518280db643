package resolver

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// The lines around a block of Trellis in a hosts file. The first also names the node, so that one file can hold the names of
// several nodes.
const (
	beginMark = "# BEGIN trellis dns "
	endMark   = "# END trellis dns"
)

// maxHostsBytes bounds a hosts file that is read.
const maxHostsBytes = 64 << 20

// systemHosts returns where this system has its hosts file.
func systemHosts() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("SystemRoot"), "System32", "drivers", "etc", "hosts")
	}
	return "/etc/hosts"
}

// hostsFile is a parsed hosts file.
type hostsFile struct {
	lines   []string // the lines of others, without line ends
	blocks  []block
	newline string
	ended   bool // the last line of the others had a line end
}

// block is the part that Trellis has written for one node.
type block struct {
	node  string
	lines []string
}

// parseHosts parses a hosts file. If the marks do not match, somebody has edited the file. That is an error, since only the
// owner knows which lines may be removed.
func parseHosts(text []byte) (*hostsFile, error) {
	f := &hostsFile{newline: "\n", ended: true}
	if bytes.Contains(text, []byte("\r\n")) {
		f.newline = "\r\n"
	}
	var open *block
	for number := 1; len(text) > 0; number++ {
		line, rest, ended := bytes.Cut(text, []byte("\n"))
		text = rest
		bare := strings.TrimSuffix(string(line), "\r")
		node, begins := strings.CutPrefix(bare, beginMark)
		switch {
		case begins && open != nil:
			return nil, fmt.Errorf("line %d begins a block of Trellis within another; remove one of the two lines %q", number, bare)
		case begins:
			f.blocks = append(f.blocks, block{node: node})
			open = &f.blocks[len(f.blocks)-1]
		case bare == endMark && open == nil:
			return nil, fmt.Errorf("line %d ends a block of Trellis that nothing begins; remove the line", number)
		case bare == endMark:
			open = nil
		case open != nil:
			open.lines = append(open.lines, bare)
		default:
			// A line keeps a "\r" before its "\n": a file may mix both line ends.
			f.lines = append(f.lines, string(line))
			f.ended = ended
		}
	}
	if open != nil {
		return nil, fmt.Errorf("the line %q has no line %q after it; add it, or remove the block", beginMark+open.node, endMark)
	}
	return f, nil
}

// set makes lines the block of a node, and reports whether that changes the file.
func (f *hostsFile) set(node string, lines []string) bool {
	at := slices.IndexFunc(f.blocks, func(b block) bool { return b.node == node })
	if at < 0 {
		f.blocks = append(f.blocks, block{node, lines})
		return true
	}
	changed := !slices.Equal(f.blocks[at].lines, lines)
	f.blocks[at].lines = lines
	return changed
}

// bytes returns the file's contents, with the blocks at the end.
func (f *hostsFile) bytes() []byte {
	var b bytes.Buffer
	for i, line := range f.lines {
		b.WriteString(line)
		if i < len(f.lines)-1 || f.ended {
			b.WriteByte('\n')
		}
	}
	if len(f.blocks) > 0 && !f.ended {
		b.WriteString(f.newline)
	}
	for _, block := range f.blocks {
		for _, line := range slices.Concat([]string{beginMark + block.node}, block.lines, []string{endMark}) {
			b.WriteString(line + f.newline)
		}
	}
	return b.Bytes()
}

// others returns the names that the file has outside of the blocks, with their addresses.
func (f *hostsFile) others() map[string][]netip.Addr { return parseLines(f.lines) }

// all returns all names of the file, with their addresses.
func (f *hostsFile) all() map[string][]netip.Addr {
	lines := slices.Clone(f.lines)
	for _, block := range f.blocks {
		lines = append(lines, block.lines...)
	}
	return parseLines(lines)
}

// parseLines reads lines of addresses and names (hosts(5)).
func parseLines(lines []string) map[string][]netip.Addr {
	names := map[string][]netip.Addr{}
	for _, line := range lines {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, name := range fields[1:] {
			name = strings.ToLower(name)
			names[name] = append(names[name], address)
		}
	}
	return names
}

var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)+$`)

// hostsLines returns the lines for names, in order, and the names that are left out because the rest of the file has them
// already, or because they cannot stand in a hosts file.
func hostsLines(entries []entry, others map[string][]netip.Addr) (lines, left []string) {
	for _, e := range entries {
		name := strings.ToLower(e.Name)
		if _, taken := others[name]; taken || len(name) > 253 || !hostName.MatchString(name) {
			left = append(left, fmt.Sprintf("%q", name))
			continue
		}
		for _, address := range e.Addresses {
			// Each line has one name, since Windows reads at most nine.
			lines = append(lines, address.WithZone("").String()+" "+name)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines), left
}
