package http2

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// Whatever is written comes out once, in order, and once more after each rewind.
func TestInboxGivesBackWhatWasWritten(t *testing.T) {
	noise := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		e := NewEndpoint(testConfig())
		var b inbox
		var all []byte // that was written, the beginning of noise
		at := 0        // how much of it has been read
		b.keep()
		for range 100 {
			switch n := random.IntN(3 * chunkBytes); random.IntN(10) {
			case 0, 1, 2:
				b.write(e, noise[len(all):len(all)+n])
				all = noise[:len(all)+n]
			case 3:
				if b.keeps {
					if n := b.rewind(); n != at {
						t.Fatalf("seed %d: %d bytes put back, want %d", seed, n, at)
					}
					at = 0
				}
			case 4:
				if random.IntN(5) == 0 {
					b.forget(e)
				}
			case 5, 6:
				part := Part{endpoint: e}
				b.take(e, &part, max(n, 1))
				k := part.Len()
				var got []byte
				for part.Len() > 0 {
					got = part.appendTo(got, 1+random.IntN(part.Len()))
				}
				if want := all[at : at+k]; !bytes.Equal(got, want) || k == 0 && len(all) > at {
					t.Fatalf("seed %d: took %d bytes of %d, or others", seed, k, len(all)-at)
				}
				part.Release()
				at += k
			default:
				p := make([]byte, n)
				k := b.read(e, p)
				if want := all[at:min(at+n, len(all))]; !bytes.Equal(p[:k], want) {
					t.Fatalf("seed %d: read %d bytes, want %d, or others", seed, k, len(want))
				}
				at += k
			}
			if b.length != len(all)-at || b.keeps && b.kept != at {
				t.Fatalf("seed %d: length %d of %d, kept %d of %d", seed, b.length, len(all)-at, b.kept, at)
			}
		}
		if n := b.drop(e); n != len(all)-at || len(b.chunks) != 0 {
			t.Fatalf("seed %d: %d bytes dropped, want %d", seed, n, len(all)-at)
		}
	}
}
