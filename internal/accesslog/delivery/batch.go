package delivery

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
)

// Batch is entries of one subscription that are delivered together.
type Batch struct {
	To *lattice.AccessLogSubscription
	// Key is the name that the batch has as an object of S3, without its suffix. It stays the same when the batch is
	// delivered again, so that an object takes the place of itself.
	Key string
	// Since is when the batch began.
	Since time.Time
	// File has the entries, each with its line end, as gzip. Whoever delivers the batch may move it.
	File string
}

// Lines returns the entries, each with its line end.
func (b *Batch) Lines() ([]byte, error) {
	stream, err := os.ReadFile(b.File)
	if err != nil {
		return nil, err
	}
	return decompress(stream)
}

// batch is a Batch in the spool.
type batch struct {
	name  string // the name of its file, without the suffix
	since time.Time
	until time.Time // when the last entry came
	bytes int64     // the size of the file, without the end of its stream
	content
	busy bool // It is being delivered.
	hole *hole
}

// content is what is in the file of a batch.
type content struct {
	entries int64 // without records of lost entries
	sum     checksum
}

// add adds a line, with its line end.
func (c *content) add(line []byte) {
	c.sum.add(line)
	if !isHole(line) {
		c.entries++
	}
}

// pieceBytes is how much of a batch is in memory while its file is written again.
const pieceBytes = 64 << 10

// writeWhole replaces the content of a batch's file by lines, each with its line end. It returns the size of the file without the
// end of its stream.
func writeWhole(path string, lines iter.Seq[[]byte]) (size int64, in content, err error) {
	err = replaceFile(path, func(file io.Writer) error {
		var c compressor
		for line := range lines {
			if !isHole(line) {
				in.entries++
			}
			c.line(bytes.TrimSuffix(line, []byte(accesslog.LineEnd)))
			if len(c.out) >= pieceBytes {
				size += int64(len(c.out))
				if _, err := file.Write(c.out); err != nil {
					return err
				}
				c.out = c.out[:0]
			}
		}
		c.flush()
		size += int64(len(c.out))
		in.sum = c.sum
		_, err := file.Write(append(c.out, c.sum.end()...))
		return err
	})
	return size, in, err
}

// tail reads a file, and keeps how it ends.
type tail struct {
	from io.Reader
	size int64
	last []byte // as many bytes as the end of a stream has, at most
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.from.Read(p)
	t.size += int64(n)
	t.last = append(t.last, p[max(0, n-endBytes):n]...)
	t.last = t.last[max(0, len(t.last)-endBytes):]
	return n, err
}

// readLines calls yield with each line that can be read from the file of a batch, with its line end, and returns how the file ends.
// The process may have ended as it wrote the file, which then ends too early, or with something else.
func readLines(path string, yield func(line []byte) bool) (*tail, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	all := &tail{from: file}
	stream := bufio.NewReaderSize(all, pieceBytes)
	head, err := stream.Peek(len(streamHead))
	if string(head) != streamHead {
		return all, withoutTorn(err)
	}
	_, _ = stream.Discard(len(streamHead)) // It is there.
	for lines := bufio.NewReader(flate.NewReader(stream)); ; {
		line, err := lines.ReadBytes('\n')
		if err = withoutTorn(err); err != nil {
			return all, err
		}
		if !bytes.HasSuffix(line, []byte(accesslog.LineEnd)) || !yield(line) {
			_, err := io.Copy(io.Discard, stream)
			return all, err
		}
	}
}

// withoutTorn returns an error, or nil if it only says where a stream ends.
func withoutTorn(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &corrupt) {
		return nil
	}
	return err
}

// hole is a record in the place of entries that are missing from the stream.
type hole struct {
	LostEntries int64     `json:"lostEntries"`
	From        time.Time `json:"from"`
	To          time.Time `json:"to"`
	Problem     string    `json:"problem"`
}

// holePrefix begins every record of lost entries, and no entry.
const holePrefix = `{"lostEntries":`

// isHole reports whether a line is a record of lost entries.
func isHole(line []byte) bool { return bytes.HasPrefix(line, []byte(holePrefix)) }

// maxHoleBytes is more than the size of a record of lost entries.
const maxHoleBytes = 512

func (h *hole) line() []byte {
	line, _ := json.Marshal(h) // Plain fields can always be encoded.
	return line
}

// readHole returns the hole of a batch that consists of nothing else, or nil.
func readHole(lines []byte) *hole {
	if len(lines) > maxHoleBytes || !isHole(lines) || bytes.Count(lines, []byte(accesslog.LineEnd)) > 1 {
		return nil
	}
	var h hole
	if json.Unmarshal(lines, &h) != nil {
		return nil
	}
	return &h
}

// countEntries counts the entries in lines, without records of lost ones.
func countEntries(lines []byte) (n int64) {
	for line := range bytes.Lines(lines) {
		if !isHole(line) {
			n++
		}
	}
	return n
}

const minuteLayout = "20060102T1504Z"

// batchName names a batch as AWS names the objects in S3. Where AWS puts a hash of its own, the name has the lane, the process
// and a number, so that two nodes never write the same object.
func batchName(to *lattice.AccessLogSubscription, at time.Time, lane, process string, number int) string {
	return fmt.Sprintf("%s_VpcLattice%s_%s_%s_%s_%s%s%04x",
		to.Scope.Account, folderOf(to), to.Scope.Region, to.ResourceID, at.UTC().Format(minuteLayout), lane, process, number)
}

// tokenBytes is the length of the name of a lane or a process.
const tokenBytes = 8

// parseBatchName finds the parts of a name that the spool needs. ok is false for a file that is no batch.
func parseBatchName(name string) (lane, process string, ok bool) {
	last := name[strings.LastIndexByte(name, '_')+1:]
	if len(last) < 2*tokenBytes+4 || strings.Count(name, "_") != 5 {
		return "", "", false
	}
	return last[:tokenBytes], last[tokenBytes : 2*tokenBytes], true
}

// minuteOf returns the time in a name, which batches are in the order of.
func minuteOf(name string) string {
	fields := strings.Split(name, "_")
	return fields[len(fields)-2]
}

// folderOf returns the folder of a subscription's objects. Those with connections to resources have one of their own.
func folderOf(to *lattice.AccessLogSubscription) string {
	kind, _ := lattice.KindOfID(to.ResourceID)
	if kind == lattice.KindResourceConfiguration || to.LogType == shape.ServiceNetworkLogTypeResource {
		return "ResourceAccessLogs"
	}
	return "AccessLogs"
}

// objectKey returns the name of a batch as an object of S3, without its suffix
// (https://docs.aws.amazon.com/vpc-lattice/latest/ug/monitoring-access-logs.html):
//
//	AWSLogs/ACCOUNT/VpcLattice/AccessLogs/REGION/YYYY/MM/DD/RESOURCE/ACCOUNT_VpcLatticeAccessLogs_REGION_RESOURCE_YYYYMMDDTHHmmZ_HASH
func objectKey(to *lattice.AccessLogSubscription, name string) string {
	day := minuteOf(name)
	return fmt.Sprintf("AWSLogs/%s/VpcLattice/%s/%s/%s/%s/%s/%s/%s",
		to.Scope.Account, folderOf(to), to.Scope.Region, day[:4], day[4:6], day[6:8], to.ResourceID, name)
}
