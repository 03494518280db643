package delivery

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"trellis/test/trellistest"
)

// A named pipe stands for a batch that takes long to read.
func TestBatchesOfAnotherProcessHoldUpNothing(t *testing.T) {
	dir := t.TempDir()
	sink := newTaker(1<<20, 0)
	to := subscription("als-1", "svc-1")
	ended := openSpool(t, dir, 1<<30, sink)
	lane := ended.lane(to)
	if err := ended.writeDestination(lane); err != nil {
		t.Fatal(err)
	}
	ended.kill()
	slow := ended.path(batchName(to, time.Now(), lane.id, ended.process, 1))
	if err := syscall.Mkfifo(slow, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Spool, 1)
	go func() { opened <- openSpool(t, dir, 1<<30, sink) }()
	trellistest.Await(t, func() bool { return len(opened) == 1 }, "the spool is open")
	next := <-opened
	next.appendLine(to, []byte(`{"n":2}`))
	next.Flush(time.Now())
	trellistest.Await(t, func() bool { return sink.taken("als-1") == "{\"n\":2}\n" }, "what comes meanwhile is delivered")

	stream, _ := compress([]byte("{\"n\":1}\n")) // Without its end: the process was killed as it wrote.
	pipe, err := os.OpenFile(slow, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	// From here on, a file is in the place of the pipe, which can be read once only.
	file := filepath.Join(t.TempDir(), "batch")
	if err := errors.Join(os.WriteFile(file, stream, 0o600), os.Rename(file, slow)); err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.Write(stream); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	trellistest.Await(t, func() bool { return sink.taken("als-1") == "{\"n\":2}\n{\"n\":1}\n" }, "then the batch is, too")
	next.Close()
}
