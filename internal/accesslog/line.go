package accesslog

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// LineEnd follows each line.
const LineEnd = "\n"

// Line is the last line of an access log. That of an entry becomes the next one by its parts: most values of an entry are those
// of the entry before.
type Line struct {
	text   []byte
	ends   [numParts]int // where each part ends in the text
	from   *Entry        // the entry from which the text was made; nil if it was not made from one
	kept   Entry         // that entry, once it has been kept
	caller Caller
	part   []byte // room for a part
}

// Text returns the line with its line end. It is valid until the line changes.
func (l *Line) Text() []byte { return l.text }

// Set makes l any line, which is given without its line end.
func (l *Line) Set(text []byte) {
	*l = Line{text: append(append(l.text[:0], text...), LineEnd...), kept: Entry{text: l.kept.text[:0]}, part: l.part}
}

// Change is a piece of the text of a line that is not in the line before.
type Change struct {
	// Start and End are its place in the new line. What follows it, up to the next piece, is also in the line before, Shift
	// bytes earlier.
	Start, End, Shift int
}

// Become makes l the line of an entry, which must stay as it is until the next call, or until that of Keep. It appends what has
// changed to changes.
func (l *Line) Become(e *Entry, changes []Change) []Change {
	if l.from == nil {
		l.become(e)
		return append(changes, Change{Start: 0, End: len(l.text)})
	}
	shift := 0
	for differing := e.differs(l.from); differing != 0; differing &= differing - 1 {
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
	l.from = e
	return changes
}

// become makes l the line of an entry, whatever it was.
func (l *Line) become(e *Entry) {
	l.text = l.text[:0]
	for part := range numParts {
		l.text = e.appendPart(l.text, part)
		l.ends[part] = len(l.text)
	}
	l.text = append(l.text, LineEnd...)
	l.from = e
}

// Keep copies the entry that l is the line of, and what it refers to, which lasts no longer than its Room. Many entries come one
// after the other; only the last one has to be copied.
func (l *Line) Keep() {
	e := l.from
	if e == nil || e == &l.kept {
		return
	}
	text := append(l.kept.text[:0], e.text...)
	l.kept, l.from = *e, &l.kept
	l.kept.text = text
	if e.caller != nil {
		l.caller = *e.caller
		l.kept.caller = &l.caller
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
