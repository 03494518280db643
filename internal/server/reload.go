package server

import (
	"context"
	"errors"
)

// reloads reads and opens files again on each request, until ctx ends.
func (s *Server) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.cfg.Reload:
		}
		if err := s.reload(ctx); err != nil {
			s.log.Error("not everything could be read again", "error", err)
		} else {
			s.log.Info("everything has been read again")
		}
	}
}

// reload reads the credentials and the inventory again, with the certificates that it names, and opens the audit log
// again, which may have been moved away.
func (s *Server) reload(ctx context.Context) error {
	var problems []error
	if s.credentials != nil {
		problems = append(problems, s.credentials.Reload())
	}
	if s.inventory != nil {
		problems = append(problems, s.inventory.Reload(ctx))
	}
	if s.audit != nil {
		problems = append(problems, s.audit.Reopen())
	}
	return errors.Join(problems...)
}
