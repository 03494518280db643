//go:build !unix

package server

// openFiles returns how many files the process may have open. There is no limit here but memory's.
func openFiles() (int, error) { return maxFiles, nil }
