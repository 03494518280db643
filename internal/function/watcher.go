package function

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// maxDirectories bounds the directories that are watched for one function.
	maxDirectories = 2000
	// searchInterval is how often missing files are looked for.
	searchInterval = time.Second
)

// watcher reports changes of the files that functions depend on.
type watcher struct {
	settles time.Duration
	log     *slog.Logger
	running sync.WaitGroup
	stop    chan struct{}

	mu sync.Mutex // mu guards the fields below.
	// files is nil until the first function is watched, and if this machine cannot watch files.
	files   *fsnotify.Watcher
	watched map[*pool]*watch
}

// watch has the files that a function depends on.
type watch struct {
	paths    []string
	onChange func(file string)
	missing  bool        // one of paths does not exist
	pending  *time.Timer // a change has not settled yet
}

func newWatcher(settles time.Duration, log *slog.Logger) *watcher {
	return &watcher{settles: settles, log: log, stop: make(chan struct{}), watched: map[*pool]*watch{}}
}

// watch calls a function after each change of the given files, or below the given directories. It replaces the watch of the
// same pool.
func (w *watcher) watch(p *pool, paths []string, onChange func(file string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(p)
	if len(paths) == 0 || !w.open() {
		return
	}
	entry := &watch{onChange: onChange}
	for _, path := range paths {
		// The system reports changes by the real directory, whatever links lead to it.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		entry.paths = append(entry.paths, path)
	}
	w.watched[p] = entry
	w.add(p, entry)
}

func (w *watcher) unwatch(p *pool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(p)
}

func (w *watcher) drop(p *pool) {
	if entry := w.watched[p]; entry != nil && entry.pending != nil {
		entry.pending.Stop()
	}
	delete(w.watched, p)
}

// open begins watching. Directories that nobody needs any more stay watched, which costs nothing until they change.
func (w *watcher) open() bool {
	if w.files != nil {
		return true
	}
	files, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("files cannot be watched; functions are reloaded only when their entries change", "error", err)
		return false
	}
	w.files = files
	w.running.Go(w.run)
	return true
}

// add watches the directories of an entry.
func (w *watcher) add(p *pool, entry *watch) {
	entry.missing = false
	left := maxDirectories
	for _, path := range entry.paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			entry.missing = true
		case !info.IsDir():
			// The file's directory is watched, since a replaced file is a new one.
			_ = w.files.Add(filepath.Dir(path))
		default:
			w.addTree(p, path, &left)
		}
	}
}

func (w *watcher) addTree(p *pool, root string, left *int) {
	// A function does not depend on a directory that cannot be read.
	_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		if path != root && ignored(entry.Name()) {
			return filepath.SkipDir
		}
		if *left--; *left < 0 {
			p.log.Warn("the function's directory has too many directories below it; changes in some are not noticed; name what matters in watch", "directory", root)
			return filepath.SkipAll
		}
		if err := w.files.Add(path); err != nil {
			p.log.Warn("a directory cannot be watched; changes in it are not noticed", "directory", path, "error", err)
			return filepath.SkipAll
		}
		return nil
	})
}

func (w *watcher) run() {
	search := time.NewTicker(searchInterval)
	defer search.Stop()
	for {
		select {
		case <-w.stop:
			return
		case event, ok := <-w.files.Events:
			if !ok {
				return
			}
			if event.Op&^fsnotify.Chmod != 0 {
				w.changed(event.Name)
			}
		case err, ok := <-w.files.Errors:
			if !ok {
				return
			}
			w.log.Warn("watching functions' files", "error", err)
		case <-search.C:
			w.search()
		}
	}
}

// changed marks the functions that depend on a file or directory.
func (w *watcher) changed(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, entry := range w.watched {
		if entry.covers(name) {
			w.settle(p, entry, name)
		}
	}
}

// settle reports a change once there is no other for a while.
func (w *watcher) settle(p *pool, entry *watch, name string) {
	if entry.pending != nil {
		entry.pending.Reset(w.settles)
		return
	}
	entry.pending = time.AfterFunc(w.settles, func() {
		w.mu.Lock()
		current := w.watched[p] == entry
		entry.pending = nil
		if current {
			w.add(p, entry) // There may be new directories.
		}
		w.mu.Unlock()
		if current {
			entry.onChange(name)
		}
	})
}

// search looks for missing files.
func (w *watcher) search() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for p, entry := range w.watched {
		if !entry.missing {
			continue
		}
		if w.add(p, entry); !entry.missing {
			w.settle(p, entry, entry.paths[0])
		}
	}
}

// covers reports whether a changed file is watched.
func (e *watch) covers(name string) bool {
	for _, path := range e.paths {
		below, err := filepath.Rel(path, name)
		if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
			continue
		}
		if below == "." {
			// A directory that is removed is looked for again.
			if _, err := os.Stat(path); err != nil {
				e.missing = true
			}
			return true
		}
		hidden := false
		for part := range strings.SplitSeq(below, string(filepath.Separator)) {
			hidden = hidden || ignored(part)
		}
		if !hidden {
			return true
		}
	}
	return false
}

// ignored reports whether a file or directory is not part of a program's source, and changes as the program runs or is
// edited.
func ignored(name string) bool {
	switch name {
	case "__pycache__", "node_modules", ".git", ".hg", ".svn", ".venv", ".idea", ".vscode", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store", "4913":
		return true
	}
	for _, suffix := range []string{".pyc", ".swp", ".swx", "~"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.HasPrefix(name, ".#")
}

// close ends watching. No function may be left.
func (w *watcher) close() {
	w.mu.Lock()
	files := w.files
	w.mu.Unlock()
	if files == nil {
		return
	}
	close(w.stop)
	w.running.Wait()
	_ = files.Close()
}
