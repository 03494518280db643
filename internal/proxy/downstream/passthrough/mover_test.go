package passthrough

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trellis/test/trellistest"
)

// line is one direction: what is written to sender arrives at receiver.
type line struct {
	sender, receiver *net.TCPConn
	src, dst         *net.TCPConn
	mover            *Mover
	moved            atomic.Int64
	ended            chan error
}

func newLine(t testing.TB) *line {
	t.Helper()
	l := &line{mover: newMover(0), ended: make(chan error, 1)}
	l.sender, l.src = trellistest.ConnectTCP(t)
	l.dst, l.receiver = trellistest.ConnectTCP(t)
	var moving sync.WaitGroup
	moving.Go(func() { l.ended <- l.mover.Move(l.dst, l.src, func(n int) { l.moved.Add(int64(n)) }) })
	t.Cleanup(func() {
		l.src.SetDeadline(time.Unix(1, 0))
		l.dst.SetDeadline(time.Unix(1, 0))
		moving.Wait()
		l.mover.Close()
	})
	return l
}

func (l *line) send(t testing.TB, b []byte) {
	t.Helper()
	if _, err := l.sender.Write(b); err != nil {
		t.Fatal(err)
	}
}

func (l *line) receive(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(l.receiver, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func (l *line) end(t testing.TB) error {
	t.Helper()
	return trellistest.Receive(t, l.ended, "the move has ended")
}

func TestBytesArriveAsTheyWereSent(t *testing.T) {
	for name, sizes := range map[string][]int{
		"small":      {1, 2, 3, 1000},
		"one large":  {8 << 20},
		"mixed":      {5, 1 << 20, 1, 1, 1, 1, 1, 1, 300 << 10, 70, 64 << 10, 64 << 10, 64 << 10, 1},
		"nothing":    {},
		"two to one": {bufferBytes, 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			random := rand.NewChaCha8([32]byte{1})
			var sum [32]byte
			var sending sync.WaitGroup
			total := 0
			for _, size := range sizes {
				total += size
			}
			sending.Go(func() {
				all := sha256.New()
				for _, size := range sizes {
					b := make([]byte, size)
					random.Read(b)
					all.Write(b)
					if _, err := l.sender.Write(b); err != nil {
						t.Error(err)
					}
				}
				all.Sum(sum[:0])
				l.sender.CloseWrite()
			})
			got := l.receive(t, total)
			sending.Wait()
			if err := l.end(t); err != nil {
				t.Fatal(err)
			}
			if sha256.Sum256(got) != sum {
				t.Fatal("the bytes that came out are not those that went in")
			}
			if moved := l.moved.Load(); moved != int64(total) {
				t.Fatalf("%d bytes were reported, want %d", moved, total)
			}
			l.dst.CloseWrite()
			if n, err := l.receiver.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Fatalf("after all bytes: %d more, error %v", n, err)
			}
		})
	}
}

func TestSlowReceiverSlowsTheSenderDown(t *testing.T) {
	l := newLine(t)
	l.receiver.SetReadBuffer(16 << 10)
	sent := make(chan int, 1)
	go func() {
		n := 0
		piece := make([]byte, 64<<10)
		l.sender.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		for {
			m, err := l.sender.Write(piece)
			n += m
			if err != nil {
				sent <- n
				return
			}
		}
	}()
	n := <-sent
	if n > 64<<20 {
		t.Fatalf("%d bytes were taken from the sender while the receiver read none", n)
	}
	l.sender.CloseWrite()
	if got := l.receive(t, n); len(got) != n {
		t.Fatalf("%d bytes came, want %d", len(got), n)
	}
	if err := l.end(t); err != nil {
		t.Fatal(err)
	}
}

func TestReceiverThatGoesEndsTheMove(t *testing.T) {
	for name, size := range map[string]int{"small": 10, "large": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			l.send(t, make([]byte, 4*bufferBytes))
			l.receive(t, 4*bufferBytes)
			l.receiver.SetLinger(0)
			l.receiver.Close()
			go func() {
				for {
					if _, err := l.sender.Write(make([]byte, size)); err != nil {
						return
					}
				}
			}()
			if err := l.end(t); err == nil {
				t.Fatal("no error")
			}
			l.sender.Close()
		})
	}
}

func TestSenderThatResetsEndsTheMove(t *testing.T) {
	l := newLine(t)
	l.send(t, []byte("x"))
	l.receive(t, 1)
	l.sender.SetLinger(0)
	l.sender.Close()
	if err := l.end(t); err == nil {
		t.Fatal("no error: the receiver would take it for the orderly end")
	}
}

func TestDeadlineEndsTheMove(t *testing.T) {
	for name, breakOff := range map[string]func(t *testing.T, l *line){
		"of the source": func(_ *testing.T, l *line) { l.src.SetDeadline(time.Unix(1, 0)) },
		"of the destination, which takes nothing": func(t *testing.T, l *line) {
			go func() {
				for {
					if _, err := l.sender.Write(make([]byte, 1<<20)); err != nil {
						return
					}
				}
			}()
			trellistest.AwaitStill(t, l.moved.Load)
			l.dst.SetDeadline(time.Unix(1, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			breakOff(t, l)
			if err := l.end(t); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("error %v", err)
			}
			l.sender.Close()
		})
	}
}

func TestBytesComeOutBeforeMoreGoesIn(t *testing.T) {
	l := newLine(t)
	// Through memory, then through a pipe, and back.
	for range 3 {
		for _, size := range []int{1, 4 * bufferBytes, bufferBytes, 1, 1, 1, 1, 1} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			go l.sender.Write(sent)
			if got := l.receive(t, size); !bytes.Equal(got, sent) {
				t.Fatal("the bytes that came out are not those that went in")
			}
		}
	}
}
