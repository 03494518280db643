package catalog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// lockFile is locked by the process that uses a directory, for as long as the process lives. etcd has its own lock, but
// would wait for it indefinitely.
const lockFile = "etcd.lock"

// temporaryPrefix begins the names of temporary directories.
const temporaryPrefix = "trellis-"

// lockDirectory makes a directory if it is missing, and locks it.
func lockDirectory(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := fileutil.TryLockFile(filepath.Join(dir, lockFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return nil, fmt.Errorf("the data directory %s is in use by another process", dir)
	} else if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return lock, nil
}

// makeTemporary makes a temporary directory that is locked.
func makeTemporary() (dir string, lock io.Closer, err error) {
	if dir, err = os.MkdirTemp("", temporaryPrefix); err != nil {
		return "", nil, err
	}
	path := filepath.Join(dir, lockFile)
	lock, err = fileutil.TryLockFile(path+".new", os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		// The directory must be locked before it gets its name, or another process would take this one for dead and remove it.
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("lock the temporary directory: %w", err), os.RemoveAll(dir))
	}
	return dir, lock, nil
}

// removeAbandoned removes the temporary directories of processes that were killed: those whose lock nobody holds.
func removeAbandoned(log *slog.Logger) {
	locks, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*", lockFile))
	if err != nil {
		return // The name of the temporary directory makes an invalid pattern.
	}
	for _, path := range locks {
		dir := filepath.Dir(path)
		if !isOurs(dir, os.ModeDir) || !isOurs(path, 0) {
			continue
		}
		lock, err := fileutil.TryLockFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue // Its owner lives, or has just removed it.
		}
		if err := os.RemoveAll(dir); err != nil {
			log.Warn("the directory of a process that was killed cannot be removed", "directory", dir, "error", err)
		} else {
			log.Info("removed the directory of a process that was killed", "directory", dir)
		}
		lock.Close()
	}
}

// isOurs reports whether a file has a type, and is accessible to its owner alone, like everything that this package makes.
func isOurs(path string, kind os.FileMode) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().Type() == kind && info.Mode().Perm()&0o077 == 0
}
