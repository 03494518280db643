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
	prefix = "/trellis/v1/"
	// headKey is compared and written by every transaction. Its value names the node that wrote it last.
	headKey = prefix + "head"
	// nodePrefix and a node's name is the key of the last batch that the node has committed.
	nodePrefix = prefix + "node/"
)

// isRecordKey says whether an etcd key under the prefix is that of a record.
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
func decode(kv *mvccpb.KeyValue) (*row, error) {
	name := string(kv.Key[len(prefix):])
	key, ok := lattice.ParseKey(name)
	if !ok {
		return nil, fmt.Errorf("not the key of a record")
	}
	rec, err := decodeRecord(key, kv.Value)
	if err != nil {
		return nil, err
	}
	return &row{rec: rec, key: key, at: Cursor{Revision: kv.CreateRevision, Key: name}, modified: kv.ModRevision}, nil
}

func decodeRecord(key lattice.Key, value []byte) (lattice.Record, error) {
	rec, ok := lattice.NewRecord(key.Kind)
	if !ok {
		return nil, fmt.Errorf("unknown kind %q", key.Kind)
	}
	if err := unmarshal(value, rec); err != nil {
		return nil, err
	}
	if rec.Key() != key {
		return nil, fmt.Errorf("the value is that of %s", rec.Key())
	}
	return rec, nil
}

// unmarshal is json.Unmarshal, which would read the value of a record that reads itself twice.
func unmarshal(value []byte, rec lattice.Record) error {
	if own, ok := rec.(json.Unmarshaler); ok {
		return own.UnmarshalJSON(value)
	}
	return json.Unmarshal(value, rec)
}

// kvOf returns what the i-th operation of a transaction, the get of one key, has found; zero for nothing.
func kvOf(resp *clientv3.TxnResponse, i int) *mvccpb.KeyValue {
	if kvs := resp.Responses[i].GetResponseRange().Kvs; len(kvs) == 1 {
		return kvs[0]
	}
	return &mvccpb.KeyValue{}
}
