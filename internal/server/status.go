package server

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"trellis/internal/console"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// status is the response of /status: what runs where, and what is wrong.
type status struct {
	Version string `json:"version"`
	Mode    string `json:"mode"`
	PID     int    `json:"pid"`
	API     string `json:"api"`
	Admin   string `json:"admin"`
	DNS     string `json:"dns,omitempty"`
	Store   string `json:"store"`
	// Ports are the ports of listeners, with their bound addresses.
	Ports []boundPort `json:"ports"`
	// Records counts the stored records, by kind.
	Records map[lattice.Kind]int `json:"records"`
	// Targets counts the targets by status.
	Targets  map[shape.TargetStatus]int `json:"targets"`
	Problems []console.Problem          `json:"problems"`
}

// shownGroups bounds how many target groups are listed one by one.
const shownGroups = 100

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.state())
}

// storeInWords returns where records are kept, and for how long.
func (s *Server) storeInWords() string {
	if s.cfg.Dev {
		return "memory: it ends with the process"
	}
	return s.store()
}

// state collects the status of the node.
func (s *Server) state() status {
	answer := status{
		Version: s.cfg.Version, Mode: "serve", PID: os.Getpid(), API: "http://" + s.apiListener.Addr().String(),
		Admin: "http://" + s.adminListener.Addr().String(), DNS: s.names.address(), Store: s.storeInWords(), Ports: s.boundPorts(),
		Records: map[lattice.Kind]int{}, Targets: map[shape.TargetStatus]int{}, Problems: []console.Problem{},
	}
	if s.cfg.Dev {
		answer.Mode = "dev"
	}
	note := func(about, format string, args ...any) {
		answer.Problems = append(answer.Problems, console.Problem{About: about, Text: fmt.Sprintf(format, args...)})
	}
	noteOf := func(of lattice.Key, format string, args ...any) {
		note(string(of.Kind), format, args...)
		last := &answer.Problems[len(answer.Problems)-1]
		last.ID, last.Scope = of.Path, of.Scope
	}
	if err := s.catalog.Writable(); err != nil {
		note("node", "changes cannot be stored: %v", err)
	}
	if s.credentials != nil {
		if err := s.credentials.Problem(); err != nil {
			note("node", "the credentials file is not in force as it is: %v", err)
		}
	}
	for _, text := range s.portProblems() {
		note("node", "%s", text)
	}
	names := map[string]string{} // of target groups
	var groups []*lattice.Targets
	for _, stored := range s.catalog.Records() {
		answer.Records[stored.Key().Kind]++
		switch r := stored.Record.(type) {
		case *lattice.TargetGroup:
			names[r.ID] = r.Name
		case *lattice.Targets:
			groups = append(groups, r)
		}
		if r, ok := stored.Record.(lattice.Resource); ok && strings.HasSuffix(r.Meta().Lifecycle.Status(s.control.Now()), "_FAILED") {
			noteOf(r.Key(), "%s %s (%s) is %s: %s", r.Key().Kind, r.Meta().Name, r.Meta().ID,
				r.Meta().Lifecycle.Status(s.control.Now()), r.Meta().Lifecycle.FailureMessage)
		}
	}
	told := 0
	for _, group := range groups {
		unhealthy := 0
		why := map[string]int{}
		for _, target := range group.Members {
			status, reason := s.checker.Status(target)
			answer.Targets[status]++
			if status == shape.TargetStatusUnhealthy {
				unhealthy++
				why[reason]++
			}
		}
		if unhealthy > 0 && told < shownGroups {
			told++
			noteOf(lattice.TargetGroupKey(group.Scope, group.TargetGroupID), "target group %s (%s): %d of %d targets unhealthy (%s)",
				names[group.TargetGroupID], group.TargetGroupID, unhealthy, len(group.Members), strings.Join(slices.Sorted(maps.Keys(why)), ", "))
		}
	}
	return answer
}
