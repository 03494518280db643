package http2

import (
	"encoding/binary"
	"runtime"
	"time"

	wire "golang.org/x/net/http2"
)

const (
	outputBytes = 4 << 10
	// maxOutputBytes is how much may wait to be written until bodies must wait.
	maxOutputBytes  = 64 << 10
	frameHeadBytes  = 9
	maxPooledOutput = 2 * maxOutputBytes
	// maxWriteBytes is how much is written at once: all there is, unless a peer sends frames that need replies and does not
	// read those.
	maxWriteBytes = maxPooledOutput
)

// output is frames to be written.
type output struct{ frames []byte }

func (e *Endpoint) release(o *output) {
	if cap(o.frames) <= maxPooledOutput {
		o.frames = o.frames[:0]
		e.outputs.Put(o)
	}
}

// buffer returns the buffer to which frames are appended. The caller of this and of the functions below holds c.mu.
func (c *Conn) buffer() *output {
	if c.out == nil {
		c.out = c.endpoint.outputs.Get().(*output)
	}
	return c.out
}

// write writes all pending frames, unless another goroutine is writing, which will write these too. It unlocks c.mu meanwhile.
func (c *Conn) write() {
	if c.writing || c.out == nil {
		return
	}
	c.writing, c.writingSince = true, c.endpoint.cfg.Now()
	// Let other goroutines that are ready add their frames: a system call costs much more than this.
	c.mu.Unlock()
	runtime.Gosched()
	c.mu.Lock()
	c.writeAll()
}

// writeSoon writes the pending frames on another goroutine. The goroutine that reads must not wait for the peer to read.
func (c *Conn) writeSoon() {
	if c.err == nil {
		c.writeLast()
	}
}

// writeLast is writeSoon on a connection that has ended.
func (c *Conn) writeLast() {
	if c.writing || c.out == nil {
		return
	}
	c.writing, c.writingSince = true, c.endpoint.cfg.Now() // This must be set before Sweep can see the connection.
	c.running.Go(func() {
		c.mu.Lock()
		defer c.unlock()
		c.writeAll()
	})
}

func (c *Conn) writeAll() {
	for c.out != nil && !c.aborted {
		out := c.out
		c.out = nil
		c.queued += uint64(len(out.frames))
		if c.writeErr == nil {
			if err := c.writeFrames(out.frames); err != nil {
				c.writeFailed(err)
			}
		}
		c.endpoint.release(out)
		c.wakeNext()
	}
	if c.lastWriteTime > 0 {
		c.conn.SetReadDeadline(past) // See finish.
	}
	c.writing = false
	c.written.Broadcast()
}

// appended returns how many bytes have been appended in all.
func (c *Conn) appended() uint64 {
	if c.out == nil {
		return c.queued
	}
	return c.queued + uint64(len(c.out.frames))
}

// finalReadTime bounds how long a target is read from after writing to it has failed: it may have sent a GOAWAY before.
const finalReadTime = time.Second

// writeFailed ends a connection to which nothing can be written. In the bytes that are still unread, a target may have said
// which requests it has looked at.
func (c *Conn) writeFailed(err error) {
	if !c.client || c.err != nil {
		c.abort(err)
		return
	}
	c.writeErr, c.goneAway = err, true
	c.conn.SetReadDeadline(time.Now().Add(finalReadTime))
	for _, s := range c.streams {
		if s.writtenAt >= c.begun {
			c.breakStream(s, &UnprocessedError{err})
		}
	}
	c.endIfIdle()
}

// writeFrames writes in parts, so that the time limit is for each part and not for all of them.
func (c *Conn) writeFrames(frames []byte) error {
	for len(frames) > 0 && !c.aborted {
		part := frames[:min(len(frames), maxWriteBytes)]
		frames = frames[len(part):]
		c.writingSince = c.endpoint.cfg.Now()
		if c.lastWriteTime > 0 {
			c.conn.SetWriteDeadline(time.Now().Add(c.lastWriteTime))
		}
		c.begun += uint64(len(part))
		c.mu.Unlock()
		n, err := c.conn.Write(part)
		c.mu.Lock()
		if err != nil {
			c.begun -= uint64(len(part) - n)
			return err
		}
	}
	return nil
}

// wakeNext wakes the stream whose turn it is to send, if the connection has room.
func (c *Conn) wakeNext() {
	if len(c.waiting) > 0 && c.canSend() {
		c.waiting[0].writable.Signal()
	}
}

// canSend reports whether the connection takes bytes of bodies.
func (c *Conn) canSend() bool {
	return c.sendWindow > 0 && (c.out == nil || len(c.out.frames) < maxOutputBytes)
}

func (c *Conn) appendFrameHead(length int, kind wire.FrameType, flags wire.Flags, stream uint32) {
	out := c.buffer()
	out.frames = append(out.frames, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags),
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func (c *Conn) appendData(stream uint32, data *Part, n int, ended bool) {
	var flags wire.Flags
	if ended {
		flags = wire.FlagDataEndStream
	}
	c.appendFrameHead(n, wire.FrameData, flags, stream)
	c.out.frames = data.appendTo(c.out.frames, n)
}

// appendHeaders appends a header block, in as many frames as it needs.
func (c *Conn) appendHeaders(stream uint32, block []byte, ended bool) {
	var prefix int
	if c.tableChanged {
		c.tableChanged, prefix = false, 1
	}
	kind, flags := wire.FrameHeaders, wire.Flags(0)
	if ended {
		flags = wire.FlagHeadersEndStream
	}
	for {
		n := min(len(block), maxFrameBytes-prefix)
		if n == len(block) {
			flags |= wire.FlagHeadersEndHeaders
		}
		c.appendFrameHead(n+prefix, kind, flags, stream)
		if prefix > 0 {
			c.out.frames = append(c.out.frames, noTable)
			prefix = 0
		}
		c.out.frames = append(c.out.frames, block[:n]...)
		if block = block[n:]; len(block) == 0 {
			return
		}
		kind, flags = wire.FrameContinuation, 0
	}
}

func (c *Conn) appendSettings(settings ...wire.Setting) {
	c.appendFrameHead(6*len(settings), wire.FrameSettings, 0, 0)
	for _, s := range settings {
		c.out.frames = binary.BigEndian.AppendUint16(c.out.frames, uint16(s.ID))
		c.out.frames = binary.BigEndian.AppendUint32(c.out.frames, s.Val)
	}
}

func (c *Conn) appendSettingsAck() { c.appendFrameHead(0, wire.FrameSettings, wire.FlagSettingsAck, 0) }

func (c *Conn) appendPing(ack bool, data [8]byte) {
	var flags wire.Flags
	if ack {
		flags = wire.FlagPingAck
	}
	c.appendFrameHead(len(data), wire.FramePing, flags, 0)
	c.out.frames = append(c.out.frames, data[:]...)
}

func (c *Conn) appendWindowUpdate(stream, increment uint32) {
	c.appendFrameHead(4, wire.FrameWindowUpdate, 0, stream)
	c.out.frames = binary.BigEndian.AppendUint32(c.out.frames, increment)
}

func (c *Conn) appendReset(stream uint32, code wire.ErrCode) {
	c.appendFrameHead(4, wire.FrameRSTStream, 0, stream)
	c.out.frames = binary.BigEndian.AppendUint32(c.out.frames, uint32(code))
}

func (c *Conn) appendGoAway(last uint32, code wire.ErrCode, text string) {
	c.appendFrameHead(8+len(text), wire.FrameGoAway, 0, 0)
	c.out.frames = binary.BigEndian.AppendUint32(c.out.frames, last)
	c.out.frames = binary.BigEndian.AppendUint32(c.out.frames, uint32(code))
	c.out.frames = append(c.out.frames, text...)
}
