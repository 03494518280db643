package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lockTimeout is how long a step waits for a package manager that is at work. apt's installations take minutes.
const lockTimeout = 10 * time.Minute

// lockPoll is the time between two looks at a lock. Waiting inside the system call could not be interrupted.
const lockPoll = 200 * time.Millisecond

// lock takes the lock of a package manager's frontends, as fcntl(2) has it, and tells out for whom it waits.
func lock(ctx context.Context, path string, out io.Writer) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	for told := false; ; {
		err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		holder := unix.Flock_t{Type: unix.F_WRLCK}
		// F_GETLK says F_UNLCK if the lock has just been given back.
		if !told && unix.FcntlFlock(file.Fd(), unix.F_GETLK, &holder) == nil && holder.Type != unix.F_UNLCK {
			told = true
			fmt.Fprintf(out, "waiting for process %d, which is installing packages (it has %s)\n", holder.Pid, path)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("another program is installing packages (it has %s); run the command again once it has ended: %w", path, ctx.Err())
		}
	}
}
