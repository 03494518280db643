package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// openFile opens the log's file for appending.
func (l *Log) openFile() error {
	f, err := os.OpenFile(l.cfg.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("opening the audit log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("opening the audit log: %w", err), f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

// rotate renames the file and begins a new one. If that fails, the log goes on in the file that is open.
func (l *Log) rotate() error {
	for n := l.cfg.Keep - 1; n >= 1; n-- {
		if err := os.Rename(l.numbered(n), l.numbered(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Somebody may have moved the file away.
	if err := os.Rename(l.cfg.Path, l.numbered(1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.replaceFile()
}

// replaceFile opens the file again, and closes the one that was open. If that fails, the log goes on in the latter.
func (l *Log) replaceFile() error {
	old := l.file
	if old == nil {
		return nil
	}
	if err := l.openFile(); err != nil {
		return err
	}
	return errors.Join(old.Sync(), old.Close())
}

func (l *Log) numbered(n int) string { return fmt.Sprintf("%s.%d", l.cfg.Path, n) }
