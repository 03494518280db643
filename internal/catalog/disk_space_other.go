//go:build !linux

package catalog

// freeSpace cannot tell here.
func freeSpace(string) (bytes, inodes int64, known bool) { return 0, 0, false }

// reserveBeyond reserves nothing here.
func reserveBeyond(_ string, before, _ int64) (size int64, err error) { return before, nil }
