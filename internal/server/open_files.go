package server

import (
	"context"
	"fmt"

	"trellis/internal/proxy"
)

// maxFiles is what Linux lets a process have unless its fs.nr_open has been raised. More would only cost room in maps.
const maxFiles = 1 << 20

// leastFiles is the least number of files that a node needs: etcd, logs and sockets take some twenty at rest.
const leastFiles = 128

// files says how the files that the process may have open (RLIMIT_NOFILE) are shared out, so that a flood in one place leaves the
// others what they need. Without files, etcd cannot write, and nobody can connect to put it right.
type files struct {
	limit  int // all files of the process
	data   proxy.Limits
	api    int // connections to the API port
	admin  int
	probes int // health checks under way
}

// openFiles finds out how many files the process may have open, and divides them.
func (s *Server) openFiles(context.Context) error {
	limit, err := maxOpenFiles()
	if err != nil {
		return err
	}
	s.files, err = shareFiles(limit, s.cfg)
	return err
}

// shareFiles divides a number of files.
func shareFiles(limit int, cfg Config) (files, error) {
	if limit < leastFiles {
		return files{}, fmt.Errorf("the process may have %d files open (RLIMIT_NOFILE), and needs %d at least: raise the hard limit, as with ulimit -Hn or LimitNOFILE=", limit, leastFiles)
	}
	limit = min(limit, maxFiles)
	f := files{limit: limit}
	// Calls beyond --api-concurrency wait, and as many again may do so.
	f.api = min(max(512, 2*cfg.APIConcurrency), limit/16)
	f.admin = min(64, limit/32)
	f.probes = min(1024, limit/16)
	f.data.Pipes = limit / 32
	own := min(1024, limit/4) // etcd, logs, certificates, and the ports of listeners, each of which may accept one too many.
	const filesPerPipe = 2
	f.data.ResourceSockets = limit / 8
	rest := limit - own - f.api - f.admin - f.probes - filesPerPipe*f.data.Pipes - f.data.ResourceSockets

	// A client's exchange takes a connection to a target too. Operators who set another number know how many are idle.
	f.data.Clients = rest / 2
	if cfg.MaxConnections > 0 {
		f.data.Clients = cfg.MaxConnections
	}
	f.data.PerSource = cfg.MaxConnectionsPerSource
	f.data.Targets = rest - f.data.Clients
	if f.data.Targets < rest/4 {
		return files{}, fmt.Errorf("--max-connections %d: the process may have %d files open (RLIMIT_NOFILE), which is enough for %d connections of clients; lower the number, or raise the hard limit, as with ulimit -Hn or LimitNOFILE=",
			cfg.MaxConnections, limit, rest-rest/4)
	}
	return f, nil
}
