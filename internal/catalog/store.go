package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// store is an etcd as the catalog uses it: the embedded server or a cluster.
type store struct {
	kv       clientv3.KV
	watcher  watcher
	lease    granter
	embedded *embedded // nil for a cluster
	close    func()
}

// dialTimeout is how long a cluster may take to answer at the start.
const dialTimeout = 10 * time.Second

// dial connects to an etcd cluster. It fails if the cluster has no quorum.
func dial(ctx context.Context, cfg Config) (*store, error) {
	endpoints := strings.Join(cfg.Endpoints, ", ")
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            cfg.Endpoints,
		TLS:                  cfg.TLS,
		DialTimeout:          dialTimeout,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		Logger:               zapLogger(cfg.Log, func(error) {}),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", endpoints, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if _, err := client.Get(ctx, headKey, clientv3.WithKeysOnly()); err != nil {
		client.Close()
		return nil, fmt.Errorf("etcd at %s does not answer: %w", endpoints, err)
	}
	return &store{kv: client.KV, watcher: client.Watcher, lease: client.Lease, close: func() { client.Close() }}, nil
}
