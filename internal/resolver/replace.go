package resolver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// readHosts reads a hosts file. file may be a symbolic link; path is the file behind it.
func readHosts(file string) (f *hostsFile, path string, err error) {
	if path, err = filepath.EvalSymlinks(file); err != nil {
		return nil, "", fmt.Errorf("--hosts: %w", err)
	}
	opened, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer opened.Close()
	text, err := io.ReadAll(io.LimitReader(opened, maxHostsBytes+1))
	switch {
	case err != nil:
		return nil, "", err
	case len(text) > maxHostsBytes:
		return nil, "", fmt.Errorf("%s has more than %d bytes", path, maxHostsBytes)
	}
	if f, err = parseHosts(text); err != nil {
		return nil, "", fmt.Errorf("%s: %w", path, err)
	}
	return f, path, nil
}

// replace gives a file new content. Readers see the old or the new content. Only a file that cannot be replaced, such as the
// /etc/hosts that Docker mounts into a container, is overwritten.
func replace(path string, contents []byte) error {
	err := replaceWhole(path, contents)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EBUSY) {
		return overwrite(path, contents)
	}
	return err
}

// replaceWhole replaces a file by a new one, with its mode and owner.
func replaceWhole(path string, contents []byte) (err error) {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fresh, err := os.CreateTemp(filepath.Dir(path), ".trellis-hosts-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(fresh.Name())
		}
	}()
	_, err = fresh.Write(contents)
	if err == nil {
		err = keepOwner(fresh, info)
	}
	if err == nil {
		err = fresh.Chmod(info.Mode()) // After the owner, since chown clears bits.
	}
	if err == nil {
		err = fresh.Sync()
	}
	if err = errors.Join(err, fresh.Close()); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}

func overwrite(path string, contents []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(contents)
	if err == nil {
		err = file.Truncate(int64(len(contents)))
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
