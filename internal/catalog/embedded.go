package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// embedded starts an etcd server within this process. It listens nowhere: the client calls it directly.
func embedded(ctx context.Context, cfg Config) (_ *store, err error) {
	var undo []func()
	closeAll := func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()

	dir := cfg.DataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "trellis-"); err != nil {
			return nil, err
		}
		undo = append(undo, func() { os.RemoveAll(dir) })
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// etcd would wait for its own lock for ever.
	lock, err := fileutil.TryLockFile(filepath.Join(dir, "etcd.lock"), os.O_WRONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return nil, fmt.Errorf("the data directory %s is in use by another process", dir)
	} else if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	undo = append(undo, func() { lock.Close() })

	server, err := embed.StartEtcd(embeddedConfig(cfg, filepath.Join(dir, "etcd")))
	if err != nil {
		return nil, fmt.Errorf("start the embedded etcd server in %s: %w", dir, err)
	}
	undo = append(undo, server.Close)
	select {
	case <-server.Server.ReadyNotify():
	case <-server.Server.StopNotify():
		return nil, errors.New("the embedded etcd server stopped while it started")
	case <-ctx.Done():
		return nil, fmt.Errorf("the embedded etcd server is not ready: %w", context.Cause(ctx))
	}
	client := v3client.New(server.Server)
	undo = append(undo, func() { client.Close() })
	return &store{
		kv:      client.KV,
		watcher: client.Watcher,
		lease:   client.Lease,
		stopped: server.Server.StopNotify(),
		close:   closeAll,
	}, nil
}

// embeddedConfig is the configuration of a cluster of one.
func embeddedConfig(cfg Config, dir string) *embed.Config {
	nowhere := url.URL{Scheme: "unix", Host: "trellis"} // etcd wants a name for its peers; there are none.
	c := embed.NewConfig()
	c.Name = "trellis"
	c.Dir = dir
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = []url.URL{nowhere}, []url.URL{nowhere}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	// A single member is its own leader after an election timeout, which nothing but the start waits for.
	c.TickMs, c.ElectionMs = 20, 100
	c.UnsafeNoFsync = cfg.Ephemeral
	c.MaxTxnOps = max(uint(cfg.MaxOperations), DefaultMaxOperations)
	c.QuotaBackendBytes = 8 << 30
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, "10m"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zapLogger(cfg.Log))
	return c
}
