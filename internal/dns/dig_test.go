package dns

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"trellis/test/trellistest"
)

// dig asks the server with BIND's dig, and returns what that prints.
func dig(t *testing.T, program string, s *Server, args ...string) string {
	t.Helper()
	always := []string{"@" + s.Addr().Addr().String(), "-p", fmt.Sprint(s.Addr().Port()), "+noall", "+comments", "+answer", "+authority", "+norecurse", "+time=20"}
	out, err := exec.CommandContext(t.Context(), program, append(always, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func digProgram(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("installs Debian's bind9-dnsutils")
	}
	return strings.TrimSpace(trellistest.Install(t, "dig.sh"))
}

var digHead = regexp.MustCompile(`status: (\w+), id: \d+\n;; flags: ([a-z ]+);`)

// summary writes what dig prints in the form of testdata/answers.txt. dig must not have found fault with it.
func summary(t *testing.T, printed string) string {
	t.Helper()
	head := digHead.FindStringSubmatch(printed)
	if head == nil || strings.Contains(strings.ToLower(printed), "warning") {
		t.Fatalf("dig prints:\n%s", printed)
	}
	parts := []string{head[1]}
	for _, flag := range []string{"aa", "tc"} {
		if slices.Contains(strings.Fields(head[2]), flag) {
			parts = append(parts, flag)
		}
	}
	section := ""
	for line := range strings.Lines(printed) {
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, ";;") && strings.Contains(line, "SECTION"):
			section = fields[1]
		case len(fields) < 5 || line[0] == ';':
		case fields[1] != fmt.Sprint(ttl) || fields[2] != "IN":
			t.Errorf("a record has another TTL or class: %s", line)
		case section == "ANSWER":
			parts = append(parts, strings.Join(append([]string{fields[0], fields[3]}, fields[4:]...), " ")+";")
		default:
			parts = append(parts, "["+fields[0]+" "+fields[3]+"]")
		}
	}
	return strings.Join(parts, " ")
}

func TestDigShowsWhatTheTableSays(t *testing.T) {
	program := digProgram(t)
	s := start(t, nil)
	for _, c := range cases(t) {
		for _, way := range [][]string{{"+notcp", "+edns=0"}, {"+notcp", "+noedns"}, {"+tcp", "+edns=0"}} {
			printed := dig(t, program, s, append(way, "-q", c.name, "-t", c.kind)...)
			if got := summary(t, printed); got != c.want {
				t.Errorf("%s %s %v:\n got %s\nwant %s", c.name, c.kind, way, got, c.want)
			}
			if has := strings.Contains(printed, "EDNS: version: 0, flags:; udp: 1232"); has != (way[1] == "+edns=0") {
				t.Errorf("%s %s %v: EDNS in the response: %v", c.name, c.kind, way, has)
			}
		}
	}
}

func TestDigAsksForACutAnswerAgainOverTCP(t *testing.T) {
	program := digProgram(t)
	s := start(t, nil)
	if got := summary(t, dig(t, program, s, "+noedns", "+ignore", "many.internal.example", "A")); got != "NOERROR aa tc" {
		t.Errorf("over UDP alone: %s", got)
	}
	printed := dig(t, program, s, "+noedns", "many.internal.example", "A")
	if !strings.Contains(printed, "Truncated, retrying in TCP mode") || strings.Count(summary(t, printed), ";") != 100 {
		t.Errorf("dig prints:\n%s", printed)
	}
	if got := dig(t, program, s, "+edns=1", "+noednsnegotiation", serviceName, "A"); !strings.Contains(got, "status: BADVERS") {
		t.Errorf("with a later version of EDNS dig prints:\n%s", got)
	}
}
