package http2

// These bound what costs this side something and the peer nothing. A peer that uses the protocol as intended earns what it
// needs: bodies and finished streams pay back.
const (
	// resetBurst is how many streams may fail or be cancelled in a row, resetsPerSecond how fast that is forgiven.
	// Rapid reset (CVE-2023-44487) needs thousands; a client whose deadlines pass needs a few.
	resetBurst      = 500
	resetsPerSecond = 100
	// controlBurst bounds frames that move nothing: PING, GOAWAY, PRIORITY, CONTINUATION and empty DATA frames, window
	// updates, each setting of SETTINGS, frames of unknown types, and a client's frames for streams that have ended.
	controlBurst      = 10000
	controlsPerSecond = 1000
	// maxBlockFrames and maxBlockBytes bound one header block, CONTINUATION frames included (CVE-2024-27316).
	maxBlockFrames = 64
	maxBlockBytes  = 256 << 10
	// maxControlBytes bounds the replies that wait for a peer that sends and does not read.
	maxControlBytes = 256 << 10
)

// budget counts what a peer has spent. conn.mu guards it.
type budget struct {
	resets   int
	controls int
	received int // bytes of bodies for which nothing has been paid back yet
	since    int64
}

// forgive lets time pay back.
func (b *budget) forgive(now int64) {
	elapsed := now - b.since
	if elapsed < 100 {
		return
	}
	b.since = now
	b.resets -= int(min(elapsed*resetsPerSecond/1000, resetBurst))
	b.controls -= int(min(elapsed*controlsPerSecond/1000, controlBurst))
	b.resets, b.controls = max(b.resets, 0), max(b.controls, 0)
}

func (b *budget) control(now int64) error { return b.spend(now, 1) }

func (b *budget) spend(now int64, cost int) error {
	b.forgive(now)
	if b.controls += cost; b.controls > controlBurst {
		return tooMuch("too many control frames")
	}
	return nil
}

func (b *budget) reset(now int64) error {
	b.forgive(now)
	if b.resets++; b.resets > resetBurst {
		return tooMuch("too many streams reset")
	}
	return nil
}

// earn pays back for a stream that ended as it should.
func (b *budget) earn() {
	b.resets = max(b.resets-1, 0)
	b.controls = max(b.controls-10, 0)
}

// earnSent pays back for a frame with n bytes of a body that the peer gets.
func (b *budget) earnSent(n int) {
	b.controls = max(b.controls-1-n/1024, 0)
}

// earnReceived pays back for n bytes of bodies that the peer has sent. Frames with a byte each earn nothing, or they would pay
// for a flood of others.
func (b *budget) earnReceived(n int) {
	b.received += n
	b.controls = max(b.controls-b.received/1024, 0)
	b.received %= 1024
}
