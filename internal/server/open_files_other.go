//go:build !unix

package server

// maxOpenFiles returns how many files the process may have open. There is no limit here but memory's.
func maxOpenFiles() (int, error) { return maxFiles, nil }
