package metrics

import (
	"io"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"trellis/internal/tally"
)

// text is the output in Prometheus's text format (https://prometheus.io/docs/instrumenting/exposition_formats/), which most
// scrapers ask for. It makes no messages for series, of which there may be 100,000: their garbage, and turning them into text by
// the library, would cost several times as much.
type text struct {
	room     *sync.Pool // of *[pieceBytes]byte
	families map[*Definition]*textFamily
	order    []*textFamily
	labels   []byte // the labels of the series that is being written
}

// textFamily is a metric with all its series.
type textFamily struct {
	definition *Definition
	pieces     [][]byte // pieces of text; the last one has room
}

const (
	// pieceBytes is how much text is allocated, and written, at once.
	pieceBytes = 16 << 10
	// lineRoom is enough for most lines.
	lineRoom = 512
)

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	valueEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	bucketEnds   = makeBucketEnds()
)

// makeBucketEnds makes the end of the labels of each classic bucket.
func makeBucketEnds() (ends [len(tally.ClassicBounds) + 1]string) {
	for i, bound := range tally.ClassicBounds {
		ends[i] = `le="` + strconv.FormatFloat(bound, 'g', -1, 64) + `"} `
	}
	ends[len(tally.ClassicBounds)] = `le="+Inf"} `
	return ends
}

// newText returns an empty output. Scrapes share room: each would leave some 30 MB of garbage, and requests would wait for its
// collection.
func newText(room *sync.Pool) *text {
	return &text{room: room, families: map[*Definition]*textFamily{}}
}

// newPiece returns a piece without text.
func (t *text) newPiece() []byte {
	if piece, ok := t.room.Get().(*[pieceBytes]byte); ok {
		return piece[:0]
	}
	return make([]byte, 0, pieceBytes)
}

// release gives a piece back. One that has grown beyond the usual size is left to the garbage collector.
func (t *text) release(piece []byte) {
	if cap(piece) == pieceBytes {
		t.room.Put((*[pieceBytes]byte)(piece[:pieceBytes]))
	}
}

// series returns the family of a metric, and makes the text of a series' labels.
func (t *text) series(d *Definition, values []string) *textFamily {
	family := t.families[d]
	if family == nil {
		head := "# HELP " + d.Name + " " + helpEscaper.Replace(d.Help) + "\n# TYPE " + d.Name + " " + strings.ToLower(d.Type.String()) + "\n"
		family = &textFamily{definition: d, pieces: [][]byte{append(t.newPiece(), head...)}}
		t.families[d] = family
		t.order = append(t.order, family)
	}
	t.labels = t.labels[:0]
	for i, value := range values {
		if i > 0 {
			t.labels = append(t.labels, ',')
		}
		t.labels = append(append(t.labels, d.Labels[i]...), `="`...)
		t.labels = append(append(t.labels, valueEscaper.Replace(value)...), '"')
	}
	return family
}

// line begins a line of a family, in its last piece or in a new one, with all up to the labels.
func (t *text) line(f *textFamily, suffix string) *[]byte {
	last := &f.pieces[len(f.pieces)-1]
	if cap(*last)-len(*last) < lineRoom {
		f.pieces = append(f.pieces, t.newPiece())
		last = &f.pieces[len(f.pieces)-1]
	}
	*last = append(append(*last, f.definition.Name...), suffix...)
	return last
}

// value writes a line with a value.
func (t *text) value(f *textFamily, suffix string, value float64) {
	line := t.line(f, suffix)
	if len(t.labels) > 0 {
		*line = append(append(append(*line, '{'), t.labels...), '}')
	}
	*line = append(appendValue(append(*line, ' '), value), '\n')
}

// appendValue appends a number, whole ones as integers: strconv takes three times as long for floats.
func appendValue(b []byte, value float64) []byte {
	if whole := int64(value); float64(whole) == value && whole < 1<<53 && whole > -1<<53 {
		return strconv.AppendInt(b, whole, 10)
	}
	return strconv.AppendFloat(b, value, 'g', -1, 64)
}

func (t *text) counter(d *Definition, value float64, labels []string) {
	t.value(t.series(d, labels), "", value)
}

func (t *text) gauge(d *Definition, value float64, labels []string) {
	t.value(t.series(d, labels), "", value)
}

// histogram adds a histogram with classic buckets: there is no text for native ones.
func (t *text) histogram(d *Definition, values *tally.Distribution, labels []string) {
	runtime.Gosched() // Each service and target group has one: between two of them, others may run.
	f := t.series(d, labels)
	cumulative, count := values.Classic(), values.Count()
	for i, end := range bucketEnds {
		n := count
		if i < len(cumulative) {
			n = cumulative[i]
		}
		line := t.line(f, "_bucket{")
		if len(t.labels) > 0 {
			*line = append(append(*line, t.labels...), ',')
		}
		*line = append(strconv.AppendUint(append(*line, end...), n, 10), '\n')
	}
	t.value(f, "_sum", values.Sum())
	t.value(f, "_count", float64(count))
}

// WriteTo implements io.WriterTo. It empties the output.
func (t *text) WriteTo(w io.Writer) (n int64, err error) {
	for _, family := range t.order {
		for _, piece := range family.pieces {
			if err == nil {
				var written int
				written, err = w.Write(piece)
				n += int64(written)
			}
			t.release(piece)
		}
	}
	t.order, t.families = nil, nil
	return n, err
}
