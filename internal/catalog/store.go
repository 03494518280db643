package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
)

// store is an etcd as the catalog uses it: the embedded server or a cluster.
type store struct {
	kv       clientv3.KV
	watcher  watcher
	lease    granter
	embedded *embedded    // nil for a cluster
	failure  *lastFailure // of the client of a cluster; nil for an embedded server
	close    func()
}

// dialTimeout is how long a cluster may take to answer at the start.
const dialTimeout = 10 * time.Second

// dial connects to an etcd cluster. It fails if the cluster has no quorum, or does not let us read and write.
func dial(ctx context.Context, cfg Config) (*store, error) {
	endpoints := strings.Join(cfg.Endpoints, ", ")
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if err := tryTLS(ctx, cfg); err != nil {
		return nil, err
	}
	failure := &lastFailure{}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            cfg.Endpoints,
		TLS:                  cfg.TLS,
		Username:             cfg.User,
		Password:             cfg.Password,
		DialTimeout:          dialTimeout,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		Logger:               clientLogger(cfg.Log, failure),
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", endpoints, accessError(err))
	}
	s := &store{kv: client.KV, watcher: client.Watcher, lease: client.Lease, failure: failure, close: func() { client.Close() }}
	if cfg.Prefix != "" {
		s.kv, s.watcher = namespace.NewKV(client.KV, cfg.Prefix), namespace.NewWatcher(client.Watcher, cfg.Prefix)
	}
	if err := tryWriting(ctx, s.kv); err != nil {
		client.Close()
		if access, ok := errors.AsType[*AccessError](accessError(err)); ok {
			return nil, fmt.Errorf("use the keys below %s of etcd at %s: %w", cfg.Prefix+prefix, endpoints, access)
		}
		return nil, fmt.Errorf("etcd at %s does not answer: %w", endpoints, failure.explain(err, time.Time{}))
	}
	return s, nil
}

// tryWriting returns an error if we may not read or write, or no quorum answers. The condition never holds, but etcd
// looks at the permissions first.
func tryWriting(ctx context.Context, kv clientv3.KV) error {
	_, err := kv.Txn(ctx).
		If(clientv3.Compare(clientv3.Version(headKey), "=", -1)).
		Then(clientv3.OpPut(headKey, "")).
		Else(clientv3.OpGet(prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())).
		Commit()
	return err
}
