package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"trellis/internal/catalog"
	"trellis/internal/configuration"
	"trellis/internal/network"
)

// Restore stores the records of a backup in the store of a configuration, and returns how many there are. The store must be
// empty, and no node may be using it.
func Restore(ctx context.Context, file string, c configuration.Configuration, progress network.Progress, log *slog.Logger) (count int, err error) {
	backup, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer backup.Close()
	s := &Server{cfg: Config{Configuration: c}, log: log}
	cfg := catalog.Config{DataDir: c.DataDir, Log: log}
	if err := s.clusterAccess(&cfg); err != nil {
		return 0, err
	}
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	store, err := catalog.Open(opening, cfg)
	if err != nil {
		return 0, openError(err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	began := time.Now()
	if count, err = network.New(network.Config{Catalog: store}).Restore(ctx, backup, progress); err != nil {
		return count, fmt.Errorf("restoring %s: %w", file, err)
	}
	log.Debug("restored", "count", count, "duration", time.Since(began))
	return count, nil
}
