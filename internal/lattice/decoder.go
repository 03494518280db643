package lattice

import (
	"encoding/json"
	"fmt"

	"trellis/internal/shape"
)

// Decoder reads records from the form in which they are stored, which is JSON. It is for one goroutine.
//
// A start reads all records, most of which are target groups and their targets. It reads these by hand, several times as
// fast as package json does, as long as they look as package json writes them; and target groups with the same
// configuration share it, as records never change. The zero Decoder shares nothing: it is for a few records.
type Decoder struct {
	configs map[string]*shape.TargetGroupConfig // configurations by their JSON
}

// sharedConfigs bounds the configurations that are kept for sharing.
const sharedConfigs = 1024

// NewDecoder returns a Decoder for many records.
func NewDecoder() *Decoder {
	return &Decoder{configs: make(map[string]*shape.TargetGroupConfig)}
}

// quickReader is a record that can be read without package json. Its method returns false if package json must read it, and
// may have changed the record by then.
type quickReader interface {
	Record
	readQuickly(*jsonReader) bool
}

// Decode returns the record that is stored under a key.
func (d *Decoder) Decode(key Key, value []byte) (Record, error) {
	rec, ok := NewRecord(key.Kind)
	if !ok {
		return nil, fmt.Errorf("unknown kind %q", key.Kind)
	}
	quick, isQuick := rec.(quickReader)
	if !isQuick || !quick.readQuickly(&jsonReader{rest: value, key: key, decoder: d}) {
		rec, _ = NewRecord(key.Kind)
		if err := json.Unmarshal(value, rec); err != nil {
			return nil, err
		}
	}
	if rec.Key() != key {
		return nil, fmt.Errorf("the value belongs to the key %s", rec.Key())
	}
	return rec, nil
}

// config returns the configuration of a target group.
func (d *Decoder) config(text []byte) (*shape.TargetGroupConfig, bool) {
	if config := d.configs[string(text)]; config != nil {
		return config, true
	}
	config := new(shape.TargetGroupConfig)
	if json.Unmarshal(text, config) != nil {
		return nil, false
	}
	if d.configs != nil {
		if len(d.configs) == sharedConfigs {
			clear(d.configs)
		}
		d.configs[string(text)] = config
	}
	return config, true
}
