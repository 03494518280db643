package catalog

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"trellis/internal/lattice"
)

// The keys in etcd. Records are at prefix + lattice.Key.String().
const (
	prefix = lattice.KeyPrefix
	// headKey is compared and written by every transaction. Its value names the node that wrote it last.
	headKey = prefix + "head"
	// nodePrefix with a node's name is the key of the last batch that the node has committed.
	nodePrefix = prefix + "node/"
)

// isRecordKey reports whether an etcd key under the prefix is that of a record.
func isRecordKey(key []byte) bool {
	return string(key) != headKey && !(len(key) > len(nodePrefix) && string(key[:len(nodePrefix)]) == nodePrefix)
}

// encode returns a record's value in etcd. It refuses what decode would not read back.
func encode(rec lattice.Record) ([]byte, error) {
	key := rec.Key()
	if parsed, ok := lattice.ParseKey(key.String()); !ok || parsed != key || key.Scope.Account == "" || key.Scope.Region == "" {
		return nil, fmt.Errorf("record has the invalid key %q", key)
	}
	if _, ok := lattice.NewRecord(key.Kind); !ok {
		return nil, fmt.Errorf("record %s is of no known kind", key)
	}
	value, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode record %s: %w", key, err)
	}
	return value, nil
}

// decode returns the record of an etcd key and value.
func decode(d *lattice.Decoder, kv *mvccpb.KeyValue) (*row, error) {
	name := string(kv.Key[len(prefix):])
	key, ok := lattice.ParseKey(name)
	if !ok {
		return nil, fmt.Errorf("not the key of a record")
	}
	rec, err := d.Decode(key, kv.Value)
	if err != nil {
		return nil, err
	}
	return &row{rec: rec, at: Cursor{Revision: kv.CreateRevision, Key: name}, modified: kv.ModRevision}, nil
}

// kvOf returns what the i-th operation of a transaction, the get of one key, has found; zero for nothing.
func kvOf(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) == 1 {
		return kvs[0]
	}
	return &mvccpb.KeyValue{}
}
