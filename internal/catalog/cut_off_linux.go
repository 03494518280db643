package catalog

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cutOff takes the files below a directory away from whatever in this process has them open: it exchanges them for
// /dev/null, which frees their locks. It is for a server that has failed, which will never close its files. What that server
// still writes is lost, as if the process had ended.
func cutOff(dir string) {
	const descriptors = "/proc/self/fd"
	absolute, err := filepath.Abs(dir)
	if err == nil {
		absolute, err = filepath.EvalSymlinks(absolute)
	}
	if err != nil {
		return
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	entries, err := os.ReadDir(descriptors)
	if err != nil {
		return
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// Read right before, since numbers of files that are closed are given out again.
		if name, err := os.Readlink(filepath.Join(descriptors, entry.Name())); err == nil && strings.HasPrefix(name, absolute+"/") {
			_ = syscall.Flock(fd, syscall.LOCK_UN) // A file that is mapped would keep its lock.
			_ = syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC)
		}
	}
}
