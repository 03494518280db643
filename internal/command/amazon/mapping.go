package amazon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Mapping says where targets are in the new network, by their names at AWS: "10.0.1.5:80", or "10.0.1.5" for all of its ports.
type Mapping map[string]string

// Add adds what --map says: FROM=TO.
func (m Mapping) Add(text string) error {
	from, to, ok := strings.Cut(text, "=")
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	if !ok || from == "" || to == "" {
		return fmt.Errorf("%q must be a target and where it is instead, as in 10.0.1.5:80=127.0.0.1:9001", text)
	}
	for _, side := range []string{from, to} {
		if _, _, err := split(side); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	}
	if m[from] != "" && m[from] != to {
		return fmt.Errorf("%s is mapped to %s and to %s", from, m[from], to)
	}
	m[from] = to
	return nil
}

// Read adds what a file says, in lines like those of --map. It skips empty lines and those that begin with #.
func (m Mapping) Read(file io.Reader) error {
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := m.Add(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// split returns a target's id and port, which is 0 if there is none.
func split(target string) (id string, port int, err error) {
	if !strings.HasPrefix(target, "[") && strings.Count(target, ":") != 1 { // An id, or an IPv6 address
		return target, 0, nil
	}
	id, text, err := net.SplitHostPort(target)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("the port is %q; it must be between 1 and 65535", text)
	}
	return id, port, nil
}

// join is the inverse of split.
func join(id string, port int) string {
	if port == 0 {
		return id
	}
	return net.JoinHostPort(id, strconv.Itoa(port))
}

// place returns the targets of a group, each where the mapping says. If all its instances or load balancers are mapped, the group
// becomes one of addresses.
func (r *reader) place(group object, targets []object) (members []any) {
	kind := group.text("type")
	mapped := 0
	var ids []string
	for _, t := range targets {
		if t.text("status") == "DRAINING" {
			continue
		}
		id := t.text("id")
		port, _ := t["port"].(int)
		ids = append(ids, id)
		for _, from := range []string{join(id, port), id} {
			to, ok := r.mapping[from]
			if !ok {
				continue
			}
			r.used[from] = true
			newID, newPort, _ := split(to) // Add has checked the port.
			id = newID
			if newPort != 0 {
				port = newPort
			}
			mapped++
			break
		}
		member := object{"id": id}
		if port != 0 {
			member["port"] = port
		}
		members = append(members, member)
	}
	switch kind {
	case "LAMBDA":
		for _, id := range ids {
			note(&r.functions, id)
		}
	case "INSTANCE", "ALB":
		if mapped > 0 && mapped == len(members) {
			group["type"] = "IP"
			return members
		}
		for _, id := range ids {
			note(&r.hosts, id)
		}
	}
	return members
}
