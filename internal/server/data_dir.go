package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// tryDataDir creates the data directory and tries to write in it, if anything is kept there. Otherwise an error about any
// of its files would name the flag for that file, whose default is in the data directory.
func (s *Server) tryDataDir(context.Context) error {
	dir := s.cfg.DataDir
	if dir == "" || !s.keepsFilesIn(dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data-dir %s: %w", dir, err)
	}
	file, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return fmt.Errorf("--data-dir %s: files cannot be written there: %w", dir, err)
	}
	file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("--data-dir %s: %w", dir, err)
	}
	return nil
}

// keepsFilesIn reports whether the node writes anything into the data directory.
func (s *Server) keepsFilesIn(dir string) bool {
	if len(s.cfg.Etcd.Endpoints) == 0 {
		return true
	}
	for _, path := range []string{s.cfg.Credentials, s.cfg.AuditLog, s.cfg.CADir + "/ca.pem"} {
		if filepath.Dir(filepath.Clean(path)) == filepath.Clean(dir) {
			return true
		}
	}
	return false
}
