package passthrough

import (
	"os"
	"testing"

	"trellis/test/trellistest"
)

func (p *pipes) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.kept)
}

func TestConnectionThatIsSilentHoldsNoPipe(t *testing.T) {
	l := newLine(t)
	go l.sender.Write(make([]byte, 1<<20))
	l.receive(t, 1<<20)
	trellistest.Await(t, func() bool { return l.mover.pipes.count() == 1 }, "the pipe is given back")
}

func TestPipeWithLeftoversIsNotUsedAgain(t *testing.T) {
	before := trellistest.OpenFiles(t, os.Getpid())
	l := newLine(t)
	connections := trellistest.OpenFiles(t, os.Getpid()) - before
	go func() {
		for {
			if _, err := l.sender.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}()
	l.receive(t, 1<<20)
	l.receiver.SetLinger(0)
	l.receiver.Close()
	if err := l.end(t); err == nil {
		t.Fatal("no error")
	}
	if kept := l.mover.pipes.count(); kept != 0 {
		t.Fatalf("%d pipes are kept, which have bytes of another connection in them", kept)
	}
	l.sender.Close()
	if now := trellistest.OpenFiles(t, os.Getpid()) - before; now >= connections {
		t.Fatalf("%d files are open, of %d for the connections; two connections have been closed", now, connections)
	}
}

func TestKeptPipesAreBoundedAndClosed(t *testing.T) {
	before := trellistest.OpenFiles(t, os.Getpid())
	var p pipes
	var taken []*pipe
	for range maxKept + 10 {
		taken = append(taken, p.take())
	}
	for _, pipe := range taken {
		p.put(pipe, true)
	}
	if got := trellistest.OpenFiles(t, os.Getpid()) - before; p.count() != maxKept || got != 2*maxKept {
		t.Fatalf("%d pipes are kept, %d files are open", p.count(), got)
	}
	p.close()
	p.put(p.take(), true)
	if got := trellistest.OpenFiles(t, os.Getpid()) - before; got != 0 {
		t.Fatalf("%d files are open after close", got)
	}
}

func TestThereAreNoMorePipesThanThereMayBe(t *testing.T) {
	p := newPipes(2)
	defer p.close()
	first, second := p.take(), p.take()
	if first == nil || second == nil || p.take() != nil {
		t.Fatal("there are not exactly two pipes")
	}
	p.put(first, true)
	p.put(second, false)
	if third, fourth := p.take(), p.take(); third == nil || fourth == nil || p.take() != nil {
		t.Fatal("those that were put back cannot be taken again")
	} else {
		p.put(third, true)
		p.put(fourth, true)
	}
}
