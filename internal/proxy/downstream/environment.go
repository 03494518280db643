// Package downstream has the connection of a client, whatever its protocol: its socket, its TLS, what it waits for and until
// when, and how it ends. The packages below it are the protocols; none of them knows another.
//
// One goroutine serves a connection. It shares only the connection's watch with the sweeper, which watches the time for all
// connections.
package downstream

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"trellis/internal/proxy/buffer"
	"trellis/internal/proxy/exchange"
)

// Environment has what connections need of the proxy, which makes one with NewEnvironment.
type Environment struct {
	Config
	Clock   Clock
	Buffers buffer.Pool
	// Draining says that the proxy is shutting down, so that idle connections end.
	Draining atomic.Bool
	// Lenient says that idle connections then end only with the response to their next request.
	Lenient atomic.Bool

	openings sync.Pool // of *Opening
}

// Config has the settings of an Environment.
type Config struct {
	Log       *slog.Logger
	Exchanges *exchange.Shared
	// HeadTimeout bounds how long the head of a request may take from its first byte. IdleTimeout holds until a
	// connection's service is known, which has its own. ConnectionDuration bounds the life of a connection.
	HeadTimeout        time.Duration
	IdleTimeout        time.Duration
	ConnectionDuration time.Duration
	// Dialing is done when exchanges are broken off.
	Dialing context.Context
}

// NewEnvironment returns an environment.
func NewEnvironment(cfg Config) *Environment {
	e := &Environment{Config: cfg}
	e.openings.New = func() any { return newOpening() }
	e.Clock.began = time.Now()
	return e
}

// Clock is the time as the sweeper last saw it. Reading it costs nothing.
type Clock struct {
	began  time.Time
	millis atomic.Int64
}

// Set sets the time.
func (c *Clock) Set(now time.Time) { c.millis.Store(now.Sub(c.began).Milliseconds()) }

// Now returns the time in milliseconds. It never goes back.
func (c *Clock) Now() int64 { return c.millis.Load() }
