package server

import (
	"context"
	"fmt"

	"trellis/internal/tracing"
)

// openTracing makes the tracer, which sends spans to a collector, if one is configured.
func (s *Server) openTracing(ctx context.Context) (err error) {
	if !tracing.Wanted(s.cfg.OTLPEndpoint) {
		return nil
	}
	s.tracer, err = tracing.New(ctx, tracing.Config{
		Endpoint: s.cfg.OTLPEndpoint, Ratio: s.cfg.TraceRatio, Version: s.cfg.Version, Log: s.log.With("part", "tracing"),
	})
	if err != nil {
		return fmt.Errorf("--otlp-endpoint: %w", err)
	}
	s.runUntilClose(s.tracer.Run)
	return nil
}
