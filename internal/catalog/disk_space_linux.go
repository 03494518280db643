package catalog

import (
	"os"
	"syscall"
)

// freeSpace returns how many bytes and inodes of a file system can be used. known is false if the file system does not say.
func freeSpace(dir string) (bytes, inodes int64, known bool) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, 0, false
	}
	inodes = int64(stat.Ffree)
	if stat.Files == 0 { // These file systems make inodes as they need them.
		inodes = reserveInodes
	}
	return int64(stat.Bavail) * stat.Bsize, inodes, true
}

// keepSize is FALLOC_FL_KEEP_SIZE of fallocate(2): the file looks as large as before.
const keepSize = 1

// reserveBeyond reserves the blocks of a file, holes included, and a number of bytes beyond its end. It does nothing if the
// file is as large as before. It returns the size of the file.
func reserveBeyond(path string, before, beyond int64) (size int64, err error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() == before {
		return before, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for {
		err := syscall.Fallocate(int(f.Fd()), keepSize, 0, info.Size()+beyond)
		if err != syscall.EINTR {
			return info.Size(), err
		}
	}
}
