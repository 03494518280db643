package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// addresses has the addresses of a node, for programs that have started it on any free ports.
type addresses struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	API     string `json:"api"`
	Admin   string `json:"admin"`
	// Data is the address that the ports of listeners are bound on; /ports of the admin port has the ports.
	Data string `json:"data"`
	// DNS is empty when names are answered nowhere.
	DNS    string `json:"dns,omitempty"`
	CAFile string `json:"caFile"`
}

// writeReadyFile writes one line of JSON to the file of --ready-file once everything is ready. A program that waits for the
// file never sees a part of it.
func (s *Server) writeReadyFile() error {
	if s.cfg.ReadyFile == "" {
		return nil
	}
	api := s.apiListener.Addr().String()
	line, err := json.Marshal(addresses{
		PID: os.Getpid(), Version: s.cfg.Version, API: "http://" + api,
		Admin: "http://" + s.adminListener.Addr().String(), Data: s.cfg.DataAddr, DNS: s.names.address(), CAFile: s.authority.File(),
	})
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(s.cfg.ReadyFile), "."+filepath.Base(s.cfg.ReadyFile)+".")
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	defer os.Remove(file.Name()) // After the rename this removes nothing.
	_, err = file.Write(append(line, '\n'))
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), s.cfg.ReadyFile)
	}
	if err != nil {
		return fmt.Errorf("--ready-file: %w", err)
	}
	return nil
}
