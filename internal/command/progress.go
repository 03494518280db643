package command

import (
	"fmt"
	"io"
	"time"
)

// showAfter is how long something may take before its progress is shown.
const showAfter = time.Second

// Progress shows the progress of something that takes longer than a second. It shows nothing where there is no terminal.
type Progress struct {
	w     io.Writer
	began time.Time
	shown bool
	last  time.Time
}

// NewProgress returns the progress of something that begins now.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{began: time.Now()}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

// Show replaces the text that is shown, at most ten times a second.
func (p *Progress) Show(format string, args ...any) {
	now := time.Now()
	if p.w == nil || now.Sub(p.began) < showAfter || now.Sub(p.last) < showAfter/10 {
		return
	}
	p.shown, p.last = true, now
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// Records returns a function that shows how many of all records are done.
func (p *Progress) Records(what string) func(done, total int) {
	return func(done, total int) { p.Show("%s: %d of %d records", what, done, total) }
}

// End removes the text.
func (p *Progress) End() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// reader shows how much has been read of a size, which is negative if it is not known.
type reader struct {
	io.Reader
	progress    *Progress
	what        string
	read, total int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.read += int64(n)
	if r.total > 0 {
		r.progress.Show("%s: %d of %d KB", r.what, r.read>>10, r.total>>10)
	} else {
		r.progress.Show("%s: %d KB", r.what, r.read>>10)
	}
	return n, err
}
