// Package downstream is the connection of a client, whatever it speaks: its socket, its TLS, what it waits for and until when,
// and how it ends. The packages below it are the protocols; none of them knows another.
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

// Environment is what connections need of the proxy, which has one. NewEnvironment makes it.
type Environment struct {
	Config
	Clock   Clock
	Buffers buffer.Pool
	// Draining says that the proxy shuts down, so that connections end when they are idle.
	Draining atomic.Bool
	// Lenient says that idle connections are then not ended at once, but with the response to their next request.
	Lenient atomic.Bool

	openings sync.Pool // of *Opening
}

// Config is what an Environment is made of.
type Config struct {
	Log       *slog.Logger
	Exchanges *exchange.Shared
	// HeadTimeout bounds how long the head of a request may take from its first byte. IdleTimeout holds until a
	// connection's service is known, which has its own. ConnectionDuration bounds the life of a connection.
	HeadTimeout        time.Duration
	IdleTimeout        time.Duration
	ConnectionDuration time.Duration
	// Dialing ends when exchanges are broken off.
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
