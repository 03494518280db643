package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
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

// writeWhole replaces the content of a batch's file by lines. It returns the size of the file without the end of its stream.
func writeWhole(path string, lines []byte) (int64, content, error) {
	stream, sum := compress(lines)
	return int64(len(stream)), content{countEntries(lines), sum}, replaceFile(path, append(stream, sum.end()...))
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

// maxHoleBytes is more than the size of a record of lost entries.
const maxHoleBytes = 512

func (h *hole) line() []byte {
	line, _ := json.Marshal(h) // Plain fields can always be encoded.
	return line
}

// readHole returns the hole of a batch that consists of nothing else, or nil.
func readHole(lines []byte) *hole {
	if len(lines) > maxHoleBytes || !bytes.HasPrefix(lines, []byte(holePrefix)) || bytes.Count(lines, []byte(accesslog.LineEnd)) > 1 {
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
		if !bytes.HasPrefix(line, []byte(holePrefix)) {
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
