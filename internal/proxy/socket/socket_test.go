//go:build unix

package socket

import (
	"bytes"
	"io"
	"testing"

	"trellis/test/trellistest"
)

func TestBothPiecesArriveInOrderHoweverMuchFits(t *testing.T) {
	near, far := trellistest.ConnectTCP(t)
	var sent []byte
	first, second := bytes.Repeat([]byte("1"), 50_000), bytes.Repeat([]byte("2"), 70_000)
	if err := Raw(near).Control(func(fd uintptr) {
		for waits := false; !waits; {
			n, wait, err := WriteBoth(fd, first, second)
			if err != nil || !wait && n != len(first)+len(second) {
				t.Fatalf("%d bytes, wait: %t, %v", n, wait, err)
			}
			sent = append(sent, first[:min(n, len(first))]...)
			sent = append(sent, second[:max(n-len(first), 0)]...)
			waits = wait
		}
	}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("other bytes than the %d that were sent came, error %v", len(sent), err)
	}
}
