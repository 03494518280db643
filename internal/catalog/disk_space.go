package catalog

import (
	"errors"
	"path/filepath"
	"syscall"
)

// What a store needs, in bytes. etcd stops when it has no room to write, so changes are refused while there is still some
//
const (
	// segmentBytes is the size of the files of etcd's write-ahead log, of which there is always one in advance.
	segmentBytes = 8 << 20
	// databaseBytes is what is kept free for the database within its file, for what etcd writes by itself.
	databaseBytes = 16 << 20
	// reserveBytes must be free for changes to be accepted: the next file of the log, and as much for the rest.
	reserveBytes = 2 * segmentBytes
	// newStoreBytes must be free for a new store.
	newStoreBytes = 2*segmentBytes + databaseBytes + reserveBytes
	// reserveInodes must be free, for the names of files.
	reserveInodes = 8
)

// inodes can be missing as well as bytes.
const inodes = "inodes"

// checkRoom returns an error if the file system of a directory has less room than is needed.
func checkRoom(dir string, need int64) error {
	free, freeInodes, known := freeSpace(dir)
	switch {
	case !known:
		return nil
	case free < need:
		return &NoRoomError{Dir: dir, Need: need, Free: free, Of: "bytes"}
	case freeInodes < reserveInodes:
		return &NoRoomError{Dir: dir, Need: reserveInodes, Free: freeInodes, Of: inodes}
	}
	return nil
}

// room watches the space of a store, and reserves some.
type room struct {
	dir       string // of etcd
	temporary bool   // reserving is off
	// reservedFor is the size of the database that room was reserved for last.
	reservedFor int64
}

// check returns why changes must not be accepted, or nil.
func (r *room) check() error { return checkRoom(r.dir, reserveBytes) }

// reserve keeps room for the database within its file, which the file system gives to nobody else. With it, etcd goes on when
// the disk is full: it compacts, and deletes what has expired.
func (r *room) reserve() error {
	if r.temporary {
		return nil
	}
	size, err := reserveBeyond(filepath.Join(r.dir, "member", "snap", "db"), r.reservedFor, databaseBytes)
	switch {
	case errors.Is(err, syscall.ENOSPC):
		free, _, _ := freeSpace(r.dir)
		return &NoRoomError{Dir: r.dir, Need: reserveBytes + databaseBytes, Free: free, Of: "bytes"}
	case err == nil:
		r.reservedFor = size
	}
	return nil // Some file systems cannot reserve.
}
