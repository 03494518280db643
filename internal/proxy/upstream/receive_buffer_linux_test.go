package upstream

import (
	"sync"
	"syscall"
	"testing"
)

// receiveBuffer returns how large the kernel's buffer is at the moment.
func receiveBuffer(t *testing.T, c *Conn) (bytes int) {
	t.Helper()
	raw, err := c.tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	controlErr := raw.Control(func(fd uintptr) {
		bytes, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	})
	if controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	return bytes
}

// Somebody must take a response before the kernel receives much of it ahead. As soon as somebody does, the network's
// speed and length decide.
func TestReceiveBufferGrowsOnlyWithAResponseThatIsTaken(t *testing.T) {
	address, accepted := listen(t)
	c := dial(t, newPools(t, nil).newHTTP1(way{address: address}))
	defer c.Discard()
	if err := c.Send([]byte("a request"), make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	target := <-accepted
	var sending sync.WaitGroup
	defer sending.Wait()
	defer target.Close()
	const answer = 16 << 20
	sending.Go(func() { target.Write(make([]byte, answer)) })

	held := receiveBuffer(t, c)
	take := func(bytes int) {
		for piece := make([]byte, 64<<10); bytes > 0; {
			n, err := c.Read(piece[:min(bytes, len(piece))])
			if err != nil {
				t.Fatal(err)
			}
			bytes -= n
		}
	}
	take(widenBytes)
	if now := receiveBuffer(t, c); now != held {
		t.Errorf("with %d bytes taken, the receive buffer has grown from %d to %d", widenBytes, held, now)
	}
	take(answer - widenBytes)
	if now := receiveBuffer(t, c); now < widenBytes || now <= held {
		t.Errorf("with %d bytes taken, the receive buffer is %d, as before %d", answer, now, held)
	}
}
