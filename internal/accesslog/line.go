package accesslog

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Line is the last line of an access log. That of an entry becomes the next one by its parts: most values of an entry are those
// of the entry before.
type Line struct {
	text    []byte
	ends    [numParts]int // where each part ends in the text
	isEntry bool
	entry   Entry // the entry from which the text was made
	caller  Caller
	part    []byte // room for a part
}

// Text returns the line, without a line end. It is valid until the line changes.
func (l *Line) Text() []byte { return l.text }

// Set makes l any line.
func (l *Line) Set(text []byte) {
	*l = Line{text: append(l.text[:0], text...), entry: Entry{text: l.entry.text[:0]}, part: l.part}
}

// Change is a piece of the text of a line that is not in the line before.
type Change struct {
	// Start and End are its place in the new line. What follows it, up to the next piece, is also in the line before, Shift
	// bytes earlier.
	Start, End, Shift int
}

// Become makes l the line of an entry. It appends what has changed to changes.
func (l *Line) Become(e *Entry, changes []Change) []Change {
	if !l.isEntry {
		l.become(e)
		return append(changes, Change{Start: 0, End: len(l.text)})
	}
	shift := 0
	for differing := e.differs(&l.entry); differing != 0; differing &= differing - 1 {
		part := bits.TrailingZeros32(differing)
		start, end := 0, l.ends[part]
		if part > 0 {
			start = l.ends[part-1]
		}
		l.part = e.appendPart(l.part[:0], part)
		was := l.text[start:end]
		same := CommonPrefix(l.part, was)
		if grown := len(l.part) - len(was); grown == 0 {
			copy(was[same:], l.part[same:])
		} else {
			l.text = slices.Replace(l.text, start, end, l.part...)
			for i := part; i < numParts; i++ {
				l.ends[i] += grown
			}
			shift += grown
		}
		changes = append(changes, Change{start + same, l.ends[part], shift})
	}
	l.keep(e)
	return changes
}

// become makes l the line of an entry, whatever it was.
func (l *Line) become(e *Entry) {
	l.text = l.text[:0]
	for part := range numParts {
		l.text = e.appendPart(l.text, part)
		l.ends[part] = len(l.text)
	}
	l.keep(e)
}

// keep remembers the entry from which the text was made. It copies what e refers to, which lasts no longer than its Room.
func (l *Line) keep(e *Entry) {
	text := append(l.entry.text[:0], e.text...)
	l.entry, l.isEntry = *e, true
	l.entry.text = text
	if e.caller != nil {
		l.caller = *e.caller
		l.entry.caller = &l.caller
	}
}

// CommonPrefix returns how many bytes are the same at the start of both.
func CommonPrefix(a, b []byte) (n int) {
	most := min(len(a), len(b))
	for ; n+8 <= most; n += 8 {
		if differ := binary.LittleEndian.Uint64(a[n:]) ^ binary.LittleEndian.Uint64(b[n:]); differ != 0 {
			return n + bits.TrailingZeros64(differ)/8
		}
	}
	for n < most && a[n] == b[n] {
		n++
	}
	return n
}
