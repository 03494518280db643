package delivery

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"trellis/internal/accesslog"
	"trellis/internal/lattice"
	"trellis/internal/shape"
	"trellis/test/trellistest"
)

// taker is a sink that keeps the lines that it takes. Destinations that are down take none.
type taker struct {
	size int
	age  time.Duration

	mu       sync.Mutex
	down     map[string]bool
	lines    map[string]string
	attempts map[string]int
}

func newTaker(size int, age time.Duration) *taker {
	return &taker{size: size, age: age, down: map[string]bool{}, lines: map[string]string{}, attempts: map[string]int{}}
}

func (k *taker) Complete(*lattice.AccessLogSubscription) Limits {
	return Limits{LineBytes: k.size, Age: k.age}
}

func (k *taker) Deliver(_ context.Context, b Batch) ([]byte, int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attempts[b.To.ID]++
	if k.down[b.To.ID] {
		return nil, 0, errors.New("the destination is down")
	}
	lines, err := b.Lines()
	k.lines[b.To.ID] += string(lines)
	return nil, 0, err
}

func (k *taker) setDown(id string, down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down[id] = down
}

func (k *taker) taken(id string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lines[id]
}

func (k *taker) attempted(id string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.attempts[id]
}

func subscription(id, resource string) *lattice.AccessLogSubscription {
	return &lattice.AccessLogSubscription{
		Base:       lattice.Base{ID: id, Scope: lattice.Scope{Account: "111122223333", Region: "us-west-2"}},
		ResourceID: resource, DestinationARN: "arn:aws:s3:::" + id,
	}
}

func openSpool(t *testing.T, dir string, maxBytes int64, sink Sink) *Spool {
	t.Helper()
	s, err := NewSpool(SpoolConfig{Dir: dir, MaxBytes: maxBytes, Sink: sink, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// appendLine appends a line as if it were an entry.
func (s *Spool) appendLine(to *lattice.AccessLogSubscription, line []byte) {
	s.Append([]entry{{extra: &extra{logs: []*lattice.AccessLogSubscription{to}, text: line}}})
}

// kill leaves a spool as a killed process does: it only releases the locks.
func (s *Spool) kill() {
	s.close()
	s.endDelivering()
	s.sending.Wait()
	for _, lock := range s.held {
		lock.Close()
	}
}

// files returns the paths below a directory.
func files(t *testing.T, dir, suffix string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, suffix) {
			name, _ := filepath.Rel(dir, path)
			list = append(list, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// linesOf returns the lines of a compressed file.
func linesOf(t *testing.T, path string) (lines []string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(z)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestDirectoryHasTheEntriesOfEachSubscriptionUnderTheNamesOfS3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // The clock begins at midnight UTC 2000-01-01.
		dir := t.TempDir()
		s := openSpool(t, dir, 1<<30, NewDirectory(dir, 1<<30, slog.New(slog.DiscardHandler)))
		one, other := subscription("als-1", "svc-1"), subscription("als-2", "sn-1")
		s.appendLine(one, []byte(`{"n":1}`))
		s.appendLine(other, []byte(`{"n":1}`))
		s.Flush(time.Now())
		open := files(t, dir, batchSuffix)
		if len(open) != 2 || !strings.HasPrefix(open[0], "111122223333_VpcLatticeAccessLogs_us-west-2_") {
			t.Fatalf("the batches that take entries are %v", open)
		}
		if got := linesOf(t, filepath.Join(dir, open[0])); !slices.Equal(got, []string{`{"n":1}`}) {
			t.Errorf("while it takes entries, a batch has %v", got)
		}
		time.Sleep(ObjectAge)
		s.appendLine(one, []byte(`{"n":2}`))
		s.Flush(time.Now())
		synctest.Wait()
		const folder = "AWSLogs/111122223333/VpcLattice/AccessLogs/us-west-2/2000/01/01/svc-1/111122223333_VpcLatticeAccessLogs_us-west-2_svc-1_20000101T0000Z_"
		done := slices.DeleteFunc(files(t, dir, ObjectSuffix), func(path string) bool { return !strings.HasPrefix(path, folder) })
		if len(done) != 1 {
			t.Fatalf("the files are %v, want one that begins with %s", files(t, dir, ""), folder)
		}
		if got := linesOf(t, filepath.Join(dir, done[0])); !slices.Equal(got, []string{`{"n":1}`, `{"n":2}`}) {
			t.Errorf("the file has %v", got)
		}
		s.appendLine(one, []byte(`{"n":3}`))
		s.Close()
		if open, done := files(t, dir, batchSuffix), files(t, dir, ObjectSuffix); len(open) != 0 || len(done) != 3 || len(files(t, dir, lockSuffix)) != 0 {
			t.Errorf("in the end the files are %v", files(t, dir, ""))
		}
	})
}

func TestConnectionsToResourcesAreInFoldersOfTheirOwn(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 7, 0, 0, time.UTC)
	network := subscription("als-2", "sn-1")
	network.LogType = shape.ServiceNetworkLogTypeResource
	for _, to := range []*lattice.AccessLogSubscription{subscription("als-1", "rcfg-1"), network} {
		name := batchName(to, at, "11111111", "22222222", 3)
		want := "AWSLogs/111122223333/VpcLattice/ResourceAccessLogs/us-west-2/2026/05/01/" + to.ResourceID +
			"/111122223333_VpcLatticeResourceAccessLogs_us-west-2_" + to.ResourceID + "_20260501T1007Z_11111111222222220003"
		lane, process, ok := parseBatchName(name)
		if got := objectKey(to, name); got != want || lane != "11111111" || process != "22222222" || !ok {
			t.Errorf("the key is %s, want %s; the lane is %s, the process %s, %v", got, want, lane, process, ok)
		}
	}
}

func TestNextProcessDeliversWhatAKilledOneHasLeft(t *testing.T) {
	dir := t.TempDir()
	sink := newTaker(1<<20, time.Hour)
	killed := openSpool(t, dir, 1<<30, sink)
	to := subscription("als-1", "svc-1")
	killed.appendLine(to, []byte(`{"n":1}`))
	killed.appendLine(to, []byte(`{"n":2}`))
	killed.Flush(time.Now())
	whole := killed.bytes
	killed.appendLine(to, []byte(`{"n":3,"more":"that is cut off"}`))
	killed.Flush(time.Now())
	if err := os.Truncate(filepath.Join(dir, files(t, dir, batchSuffix)[0]), whole+12); err != nil {
		t.Fatal(err)
	}
	beside := openSpool(t, dir, 1<<30, sink)
	defer beside.Close()
	if n := beside.batches; n != 0 {
		t.Fatalf("a process takes %d batches of one that lives", n)
	}
	killed.kill()
	next := openSpool(t, dir, 1<<30, sink)
	defer next.Close()
	trellistest.Await(t, func() bool { return sink.taken("als-1") != "" }, "the batch is delivered")
	if got := sink.taken("als-1"); got != "{\"n\":1}\n{\"n\":2}\n" {
		t.Errorf("the destination has\n%s", got)
	}
	trellistest.Await(t, func() bool { return len(files(t, dir, batchSuffix)) == 0 }, "the batch is removed")
}

func TestProcessThatEndsLeavesWhatItCannotDeliver(t *testing.T) {
	dir := t.TempDir()
	sink := newTaker(1<<20, time.Hour)
	sink.setDown("als-1", true)
	s := openSpool(t, dir, 1<<30, sink)
	s.appendLine(subscription("als-1", "svc-1"), []byte(`{"n":1}`))
	s.Close()
	if left := files(t, dir, batchSuffix); len(left) != 1 {
		t.Fatalf("what is left is %v, want a batch", left)
	}
	sink.setDown("als-1", false)
	next := openSpool(t, dir, 1<<30, sink)
	defer next.Close()
	trellistest.Await(t, func() bool { return sink.taken("als-1") == "{\"n\":1}\n" }, "the next process delivers it")
}

func TestOldestBatchesMakeRoomAtTheBoundAndARecordTakesTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTaker(200, time.Hour)
		sink.setDown("als-1", true)
		s := openSpool(t, t.TempDir(), 1000, sink)
		to := subscription("als-1", "svc-1")
		for i := range 100 {
			s.appendLine(to, fmt.Appendf(nil, `{"n":%04d,"pad":"%s"}`, i, strings.Repeat("x", 80)))
			time.Sleep(time.Second)
			s.Flush(time.Now())
			synctest.Wait()
			if s.bytes > 1000 {
				t.Fatalf("after %d entries the spool has %d bytes", i+1, s.bytes)
			}
		}
		lost := s.lost.Load()
		if lost == 0 {
			t.Fatal("no entry is lost, although 100 do not fit into 1000 bytes")
		}
		sink.setDown("als-1", false)
		time.Sleep(time.Minute)
		s.Close()
		var holes, told, entries int64
		for line := range strings.Lines(sink.taken("als-1")) {
			h := readHole([]byte(line))
			if h == nil {
				entries++
				continue
			}
			holes++
			told += h.LostEntries
			if h.Problem == "" || h.To.Before(h.From) {
				t.Errorf("the record is %s", line)
			}
		}
		if told != lost || entries+lost != 100 || s.delivered.Load() != entries {
			t.Errorf("%d entries came and %d were lost; %d records tell of %d, and %d are counted as delivered", entries, lost, holes, told, s.delivered.Load())
		}
	})
}

func TestMemoryIsBoundedWhileDestinationsAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxBytes = 64 << 10
		sink := newTaker(100_000, time.Hour)
		s := openSpool(t, t.TempDir(), maxBytes, sink)
		q := NewQueue(Config{Spool: s, Log: slog.New(slog.DiscardHandler)})
		r := &accesslog.ResourceRecord{ConfigurationARN: strings.Repeat("x", 900)}
		var down []*lattice.AccessLogSubscription
		for i := range 50 {
			to := subscription(fmt.Sprintf("als-%d", i), "rcfg-1")
			sink.setDown(to.ID, true)
			down = append(down, to)
		}
		for round := range 200 {
			for range 100 { // A burst for one of them, and a little for all.
				q.WriteResource(r, down[round%50:round%50+1])
			}
			q.WriteResource(r, down)
			q.deliver()
			time.Sleep(interval)
			held, batches := cap(s.spare), int64(0)
			for _, l := range s.lanes {
				if held += cap(l.stream.out); l.stream.last != nil {
					held += 2*len(l.stream.last.Text()) + int(unsafe.Sizeof(*l.stream.last))
				}
				batches += int64(len(l.waiting))
			}
			for i := range q.buffers {
				held += q.buffers[i].records.held() + q.buffers[i].emptied.held()
			}
			// A batch shorter than one entry only tells of lost ones; each destination has few of those.
			if held > 1<<20 || s.bytes > maxBytes+100*maxHoleBytes || batches > maxBytes/1000+100 {
				t.Fatalf("in round %d %d bytes are in memory, and %d bytes in %d batches on the disk", round, held, s.bytes, batches)
			}
		}
		if s.lost.Load() == 0 {
			t.Error("no entry was lost, so the bounds were never reached")
		}
		s.Close()
	})
}

func TestDestinationThatIsDownDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTaker(1<<20, time.Second)
		s := openSpool(t, t.TempDir(), 1<<30, sink)
		var down []*lattice.AccessLogSubscription
		for i := range 3 * (healthySlots + failingSlots) {
			to := subscription(fmt.Sprintf("als-down-%d", i), "svc-1")
			sink.setDown(to.ID, true)
			down = append(down, to)
		}
		for range 60 {
			for _, to := range down {
				s.appendLine(to, []byte(`{"n":1}`))
			}
			s.appendLine(subscription("als-up", "svc-1"), []byte(`{"n":1}`))
			s.Flush(time.Now())
			time.Sleep(time.Second)
		}
		if got := strings.Count(sink.taken("als-up"), "\n"); got < 57 {
			t.Errorf("after 60 seconds the destination that is up has %d entries, want 57 or more", got)
		}
		// Half a second, a second, and so on: with half of each at random.
		if n := sink.attempted("als-down-0"); n < 5 || n > 12 {
			t.Errorf("%d attempts were made in a minute at a destination that is down, want 5 to 12", n)
		}
		s.Close()
	})
}

func TestErrorsOfADestinationAreLoggedOnceAndThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := newTaker(1<<20, time.Second)
		sink.setDown("als-1", true)
		var log bytes.Buffer
		s, err := NewSpool(SpoolConfig{Dir: t.TempDir(), MaxBytes: 1 << 30, Sink: sink, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		to := subscription("als-1", "svc-1")
		for range 10 * 60 {
			s.appendLine(to, []byte(`{"n":1}`))
			s.Flush(time.Now())
			time.Sleep(time.Second)
		}
		sink.setDown("als-1", false)
		time.Sleep(time.Minute)
		s.Close()
		// The first failure, a summary of the others every five minutes, and the end.
		for text, most := range map[string]int{
			"access logs cannot be delivered; they wait in the spool": 1, "more deliveries of access logs have failed": 3,
			"access logs are delivered again": 1,
		} {
			if n := strings.Count(log.String(), text); n < 1 || n > most {
				t.Errorf("%q is logged %d times", text, n)
			}
		}
		if !regexp.MustCompile(`more deliveries of access logs have failed" destination=arn:\S+ error=.+ count=\d+ total=\d+\n`).MatchString(log.String()) {
			t.Errorf("the summary does not say how often, where and why:\n%s", log.String())
		}
	})
}

func TestEntriesThatCannotBeWrittenAreCountedAndTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	sink := newTaker(1<<20, time.Hour)
	s := openSpool(t, dir, 1<<30, sink)
	to := subscription("als-1", "svc-1")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	s.appendLine(to, []byte(`{"n":1}`))
	s.Flush(time.Now())
	if n := s.lost.Load(); n != 1 {
		t.Errorf("%d entries are counted as lost", n)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	s.appendLine(to, []byte(`{"n":2}`))
	s.Close()
	if got := sink.taken("als-1"); !strings.HasPrefix(got, `{"lostEntries":1,`) || !strings.HasSuffix(got, "\n{\"n\":2}\n") {
		t.Errorf("the destination has\n%s", got)
	}
}

func TestFileWhoseEndCouldNotBeWrittenIsDeliveredWhole(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, 1<<30, NewDirectory(dir, 1<<30, slog.New(slog.DiscardHandler)))
	s.appendLine(subscription("als-1", "svc-1"), []byte(`{"n":1}`))
	s.Flush(time.Now())
	spooled := filepath.Join(dir, files(t, dir, batchSuffix)[0])
	info, err := os.Stat(spooled)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(spooled, info.Size()-5); err != nil {
		t.Fatal(err)
	}
	s.Close()
	delivered := files(t, dir, ObjectSuffix)
	if len(delivered) != 1 {
		t.Fatalf("the delivered files are %v, want one", delivered)
	}
	if got := linesOf(t, filepath.Join(dir, delivered[0])); !slices.Equal(got, []string{`{"n":1}`}) {
		t.Errorf("the file has %v", got)
	}
}

func TestOldestFilesGoWhenThereAreTooMany(t *testing.T) {
	dir := t.TempDir()
	d := NewDirectory(dir, 250, slog.New(slog.DiscardHandler))
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("%d.json.gz", i))
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.tidy(); err != nil {
		t.Fatal(err)
	}
	if list := files(t, dir, ""); !slices.Equal(list, []string{"3.json.gz", "4.json.gz"}) {
		t.Errorf("what is left is %v, want the two newest", list)
	}
}

func TestFileIsCompleteAtFiveMegabytes(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir, 1<<30, NewDirectory(dir, 1<<30, slog.New(slog.DiscardHandler)))
	defer s.Close()
	random := rand.NewChaCha8([32]byte{})
	text := make([]byte, 2<<10)
	for range ObjectBytes / (4 << 10) {
		_, _ = random.Read(text) // It never fails.
		for range 4 {            // A quarter of what is written, and a little, is left when it is compressed.
			s.appendLine(subscription("als-1", "svc-1"), hex.AppendEncode(nil, text))
		}
	}
	trellistest.Await(t, func() bool { return len(files(t, dir, ObjectSuffix)) > 0 }, "a file is complete")
	info, err := os.Stat(filepath.Join(dir, files(t, dir, ObjectSuffix)[0]))
	if err != nil {
		t.Fatal(err)
	}
	if size := info.Size(); size < ObjectBytes || size > ObjectBytes+64<<10 {
		t.Errorf("the file has %d bytes, want little more than %d", size, ObjectBytes)
	}
}

func TestLinesOfAFileAreReadAsFarAsItIsWhole(t *testing.T) {
	stream, _ := compress([]byte("{\"n\":1}\n{\"n\":2}\n"))
	whole := Compress([]byte("{\"n\":1}\n{\"n\":2}\n"))
	for _, c := range []struct {
		name, content, want string
	}{
		{"an empty file", "", ""},
		{"a file that ends in its head", streamHead[:4], ""},
		{"a file of something else", "no gzip at all", ""},
		{"a whole file", string(whole), "{\"n\":1}\n{\"n\":2}\n"},
		{"a file without its end", string(stream), "{\"n\":1}\n{\"n\":2}\n"},
		{"a file that ends in a line", string(stream[:len(stream)-len(emptyBlock)-4]), "{\"n\":1}\n"},
		{"a file with something else at its end", string(stream) + "\xff\xff\xff\xff", "{\"n\":1}\n{\"n\":2}\n"},
		{"a whole file with something else at its end", string(whole) + "more", "{\"n\":1}\n{\"n\":2}\n"},
	} {
		path := filepath.Join(t.TempDir(), "batch")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		var got []byte
		file, err := readLines(path, func(line []byte) bool {
			got = append(got, line...)
			return true
		})
		if err != nil || string(got) != c.want || file.size != int64(len(c.content)) || !strings.HasSuffix(c.content, string(file.last)) {
			t.Errorf("of %s %q is read; it has %d bytes and ends with %q (%v)", c.name, got, file.size, file.last, err)
		}
	}
}
